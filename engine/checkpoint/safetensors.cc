#include "engine/checkpoint/safetensors.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

absl::Status Corrupt(absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt,
               absl::StrCat("not a valid safetensors file: ", what))
      .Hint("use another checkpoint; 'seer checkpoint verify' tells which ones are whole");
}

absl::StatusOr<SafetensorsEntry> DecodeEntry(const std::string& name, const nlohmann::json& json) {
  SafetensorsEntry entry;
  entry.name = name;
  const auto dtype = json.find("dtype"), shape = json.find("shape"),
             offsets = json.find("data_offsets");
  if (dtype == json.end() || !dtype->is_string() || shape == json.end() || !shape->is_array() ||
      offsets == json.end() || !offsets->is_array() || offsets->size() != 2) {
    return Corrupt(absl::StrCat("tensor '", name, "' lacks dtype, shape or data_offsets"));
  }
  entry.dtype = dtype->get<std::string>();
  int64_t bytes = SafetensorsElementBytes(entry.dtype);
  if (bytes == 0)
    return Corrupt(absl::StrCat("tensor '", name, "' has the unknown dtype '", entry.dtype, "'"));
  for (const nlohmann::json& size : *shape) {
    if (!size.is_number_unsigned())
      return Corrupt(absl::StrCat("tensor '", name, "' has a bad shape"));
    const auto value = size.get<uint64_t>();
    const auto limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (value > limit || (value > 0 && static_cast<uint64_t>(bytes) > limit / value)) {
      return Corrupt(absl::StrCat("tensor '", name, "' has an absurd shape"));
    }
    entry.shape.push_back(static_cast<int64_t>(value));
    bytes *= static_cast<int64_t>(value);
  }
  for (const nlohmann::json& offset : *offsets) {
    if (!offset.is_number_unsigned())
      return Corrupt(absl::StrCat("tensor '", name, "' has bad offsets"));
  }
  entry.begin = static_cast<int64_t>((*offsets)[0].get<uint64_t>());
  entry.end = static_cast<int64_t>((*offsets)[1].get<uint64_t>());
  if (entry.begin < 0 || entry.end < entry.begin || entry.end - entry.begin != bytes) {
    return Corrupt(absl::StrCat("tensor '", name, "' has offsets that do not fit its shape"));
  }
  return entry;
}

}  // namespace

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

int64_t SafetensorsElementBytes(absl::string_view dtype) {
  static constexpr std::pair<absl::string_view, int64_t> kTypes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"I16", 2}, {"U16", 2}, {"F16", 2}, {"BF16", 2},
      {"I32", 4},  {"U32", 4}, {"F32", 4}, {"I64", 8}, {"U64", 8}, {"F64", 8}};
  for (const auto& [name, bytes] : kTypes) {
    if (name == dtype) return bytes;
  }
  return 0;
}

std::string EncodeSafetensorsHeader(SafetensorsHeader& header) {
  nlohmann::ordered_json json;
  if (!header.metadata.empty()) json["__metadata__"] = header.metadata;
  int64_t offset = 0;
  for (SafetensorsEntry& entry : header.entries) {
    int64_t bytes = SafetensorsElementBytes(entry.dtype);
    for (const int64_t size : entry.shape) bytes *= size;
    entry.begin = offset;
    entry.end = offset + bytes;
    offset = entry.end;
    json[entry.name] = {
        {"dtype", entry.dtype}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  }
  std::string text = json.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string out;
  for (int byte = 0; byte < 8; ++byte) out.push_back(static_cast<char>(text.size() >> (8 * byte)));
  header.data_begin = kSafetensorsPrefixBytes + static_cast<int64_t>(text.size());
  return out + text;
}

absl::StatusOr<int64_t> SafetensorsHeaderBytes(absl::string_view prefix, int64_t file_bytes) {
  if (prefix.size() < kSafetensorsPrefixBytes) return Corrupt("it is shorter than 8 bytes");
  uint64_t length = 0;
  for (int byte = 7; byte >= 0; --byte)
    length = length << 8 | static_cast<unsigned char>(prefix[static_cast<size_t>(byte)]);
  if (length > kMaxHeaderBytes ||
      static_cast<int64_t>(length) > file_bytes - kSafetensorsPrefixBytes) {
    return Corrupt(absl::StrCat("its header would be ", length, " bytes long"));
  }
  return static_cast<int64_t>(length);
}

absl::StatusOr<SafetensorsHeader> DecodeSafetensorsHeader(absl::string_view text,
                                                          int64_t file_bytes) {
  const auto json =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Corrupt("its header is not a JSON object");
  SafetensorsHeader header;
  header.data_begin = kSafetensorsPrefixBytes + static_cast<int64_t>(text.size());
  for (const auto& [name, value] : json.items()) {
    if (!value.is_object()) return Corrupt(absl::StrCat("'", name, "' is not an object"));
    if (name == "__metadata__") {
      for (const auto& [key, item] : value.items()) {
        if (!item.is_string()) return Corrupt(absl::StrCat("the metadata '", key, "' is not text"));
        header.metadata[key] = item.get<std::string>();
      }
      continue;
    }
    SEER_ASSIGN_OR_RETURN(SafetensorsEntry entry, DecodeEntry(name, value));
    header.entries.push_back(std::move(entry));
  }
  std::sort(header.entries.begin(), header.entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
            });
  int64_t position = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.begin != position)
      return Corrupt(absl::StrCat("a gap or an overlap before tensor '", entry.name, "'"));
    position = entry.end;
  }
  if (header.data_begin + position != file_bytes) {
    return Corrupt(absl::StrCat("it has ", file_bytes, " bytes, and its header says ",
                                header.data_begin + position));
  }
  return header;
}

}  // namespace seer::engine
