// SHA-256 of bytes, as images, shards and checkpoint files are named and verified.
#pragma once

#include "absl/strings/string_view.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace seer {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256(absl::string_view bytes);
std::string Sha256Hex(absl::string_view bytes);
std::string ToHex(absl::string_view bytes);

// Hashes a stream piece by piece. Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  void Update(absl::string_view bytes);
  Sha256Digest Finish();  // once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace seer
