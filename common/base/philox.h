// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011). Every random number of the system is a pure function of what it is for: a key
// made of a seed and a purpose, and a counter made of the thing it decides about (sample index,
// crop, parameter element). No state, so results do not depend on threads, ranks or restarts.
#pragma once

#include "absl/strings/string_view.h"

#include <array>
#include <cstdint>

namespace seer {

// What a random number decides; part of the key, so that streams never overlap. Values are part of
// the reproducible order: never renumber.
enum class RandomPurpose : uint32_t {
  kSampleOrder = 1,
  kCropBox = 2,
  kFlip = 3,
  kSubstitute = 4,
  kPhotometry = 5,
  kInitialWeights = 6,
  kSweep = 7,
  kTest = 99,
};

// One block: 4 x 32 random bits out of a 128-bit counter and a 64-bit key.
std::array<uint32_t, 4> PhiloxBlock(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Draws numbers for one decision, in order. Cheap to make; not thread-safe.
// Distinct (seed, purpose, a, b) give independent streams of up to 2^32 blocks each.
// b must be below 2^32.
class Philox {
 public:
  Philox(uint64_t seed, RandomPurpose purpose, uint64_t a, uint32_t b = 0);

  uint32_t Next32();
  uint64_t Next64();
  double Uniform();                         // [0, 1), 53 bits
  double Uniform(double low, double high);  // [low, high)
  uint64_t Below(uint64_t bound);           // [0, bound), unbiased; bound > 0
  double Normal();                          // mean 0, variance 1 (Box-Muller, one of the pair)

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

// A 64-bit hash of a name, for `a`: FNV-1a. Stable over builds and machines.
uint64_t StableHash(absl::string_view name);

}  // namespace seer
