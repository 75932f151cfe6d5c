// A permutation of [0, size) that is chosen by a key and evaluated at one place at a time, both
// ways: a Feistel network on the next power of four, walked until it lands inside (Black and
// Rogaway, "Ciphers with arbitrary finite domains", 2002). Immutable, hence thread-safe.
#pragma once

#include <array>
#include <cstdint>

namespace seer::dataservice {

class KeyedPermutation {
 public:
  // `size`: 1 to 2^62. Each `tweak` gives a permutation of its own.
  KeyedPermutation(int64_t size, std::array<uint32_t, 2> key, int64_t tweak);

  // Both take and give values in [0, size); the caller has checked.
  int64_t Of(int64_t value) const;
  int64_t Inverse(int64_t value) const;

 private:
  uint64_t Round(uint64_t half, uint32_t round) const;
  uint64_t Forward(uint64_t value) const;
  uint64_t Backward(uint64_t value) const;

  uint64_t size_;
  int half_bits_;
  std::array<uint32_t, 2> key_;
  uint64_t tweak_;
};

}  // namespace seer::dataservice
