#include "common/base/philox.h"

#include <cmath>
#include <numbers>

namespace seer {
namespace {

// One step of SplitMix64 (Steele et al. 2014): spreads seed and purpose over the 64 key bits.
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

}  // namespace

std::array<uint32_t, 4> PhiloxBlock(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

Philox::Philox(uint64_t seed, RandomPurpose purpose, uint64_t a, uint32_t b) {
  const uint64_t mixed = Mix(Mix(seed) ^ static_cast<uint64_t>(purpose));
  key_ = {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
  counter_ = {0, b, static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32)};
}

uint32_t Philox::Next32() {
  if (used_ == 4) {
    block_ = PhiloxBlock(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

uint64_t Philox::Next64() {
  const uint64_t low = Next32();
  return low | (uint64_t{Next32()} << 32);
}

double Philox::Uniform() { return static_cast<double>(Next64() >> 11) * 0x1.0p-53; }

double Philox::Uniform(double low, double high) { return low + (high - low) * Uniform(); }

uint64_t Philox::Below(uint64_t bound) {
  // Lemire's method: reject the few low products that would make some values likelier.
  const uint64_t threshold = (0 - bound) % bound;
  while (true) {
    const unsigned __int128 product = static_cast<unsigned __int128>(Next64()) * bound;
    if (static_cast<uint64_t>(product) >= threshold) return static_cast<uint64_t>(product >> 64);
  }
}

double Philox::Normal() {
  const double u = 1.0 - Uniform();  // (0, 1]: the logarithm is finite
  const double v = Uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

uint64_t StableHash(absl::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const unsigned char c : name) hash = (hash ^ c) * 0x100000001B3ull;
  return hash;
}

}  // namespace seer
