#include "dataservice/order/keyed_permutation.h"

#include <bit>

#include "common/base/philox.h"

namespace seer::dataservice {
namespace {

// Four rounds make a pseudo-random permutation on large domains (Luby and Rackoff 1988); tiny ones
// mix worse, so twice as many are taken. Changing this number changes every job's order.
constexpr uint32_t kRounds = 8;

}  // namespace

KeyedPermutation::KeyedPermutation(int64_t size, std::array<uint32_t, 2> key, int64_t tweak)
    : size_(static_cast<uint64_t>(size)), key_(key), tweak_(static_cast<uint64_t>(tweak)) {
  const int bits = std::bit_width(size_ - 1);
  half_bits_ = bits <= 2 ? 1 : (bits + 1) / 2;
}

uint64_t KeyedPermutation::Round(uint64_t half, uint32_t round) const {
  const auto block = PhiloxBlock({static_cast<uint32_t>(half), round, static_cast<uint32_t>(tweak_),
                                  static_cast<uint32_t>(tweak_ >> 32)},
                                 key_);
  return block[0] & ((uint64_t{1} << half_bits_) - 1);
}

uint64_t KeyedPermutation::Forward(uint64_t value) const {
  uint64_t left = value >> half_bits_;
  uint64_t right = value & ((uint64_t{1} << half_bits_) - 1);
  for (uint32_t round = 0; round < kRounds; ++round) {
    const uint64_t next = left ^ Round(right, round);
    left = right;
    right = next;
  }
  return (left << half_bits_) | right;
}

uint64_t KeyedPermutation::Backward(uint64_t value) const {
  uint64_t left = value >> half_bits_;
  uint64_t right = value & ((uint64_t{1} << half_bits_) - 1);
  for (uint32_t round = kRounds; round > 0; --round) {
    const uint64_t before = right ^ Round(left, round - 1);
    right = left;
    left = before;
  }
  return (left << half_bits_) | right;
}

int64_t KeyedPermutation::Of(int64_t value) const {
  // The network permutes up to 4 * size values; applied until it lands below size, it is a
  // permutation of those. It ends because the cycle comes back to `value` itself.
  auto at = static_cast<uint64_t>(value);
  do {
    at = Forward(at);
  } while (at >= size_);
  return static_cast<int64_t>(at);
}

int64_t KeyedPermutation::Inverse(int64_t value) const {
  auto at = static_cast<uint64_t>(value);
  do {
    at = Backward(at);
  } while (at >= size_);
  return static_cast<int64_t>(at);
}

}  // namespace seer::dataservice
