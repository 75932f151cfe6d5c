// The safetensors format (github.com/huggingface/safetensors, "Format"): 8 bytes little-endian
// header length, a JSON header {"__metadata__": {text: text}, name: {"dtype", "shape",
// "data_offsets"}}, then the tensors' bytes without gaps.
// Pure; no torch, so that tools and fuzzers can use it alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace seer::engine {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // "F32", "I64", "U8" …
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // bytes, from the end of the header

  int64_t size_bytes() const { return end - begin; }
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;  // by position in the file
  int64_t data_begin = 0;                 // bytes from the start of the file

  int64_t data_bytes() const { return entries.empty() ? 0 : entries.back().end; }
};

inline constexpr int64_t kSafetensorsPrefixBytes = 8;

std::string ShapeText(const std::vector<int64_t>& shape);  // "[64, 3, 3, 3]"

int64_t SafetensorsElementBytes(absl::string_view dtype);  // 0: unknown

// The file's first bytes up to the data, padded to a multiple of 8.
// Sets every entry's begin and end from its shape.
std::string EncodeSafetensorsHeader(SafetensorsHeader& header);

// The header's length out of the first 8 bytes.
// DATA_LOSS with CHECKPOINT_CORRUPT: fewer bytes, or an absurd length.
absl::StatusOr<int64_t> SafetensorsHeaderBytes(absl::string_view prefix, int64_t file_bytes);
// `json`: the header without the first 8 bytes. DATA_LOSS with CHECKPOINT_CORRUPT: not JSON, an
// unknown dtype, offsets that overlap, leave gaps, do not fit the shape,
// or do not end where the file of `file_bytes` ends.
absl::StatusOr<SafetensorsHeader> DecodeSafetensorsHeader(absl::string_view json,
                                                          int64_t file_bytes);

}  // namespace seer::engine
