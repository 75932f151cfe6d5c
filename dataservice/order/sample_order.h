// Which image a global sample index means: a pure function of (generation, seed, index). Nothing is
// stored: the shuffle is a keyed permutation that is evaluated at one index at a time. Immutable,
// hence thread-safe; cheap to copy.
//
// global sample index = step * global_batch + position. epoch = index / images; within an epoch
// every row of the generation's catalogue comes exactly once. World size and rank do not enter.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"

namespace seer::dataservice {

class SampleOrder {
 public:
  // `generation`: number of the pool's generation. `images`: rows of its catalogue.
  // `shuffled`: false gives the rows in the catalogue's order, epoch after epoch.
  // FAILED_PRECONDITION with POOL_EMPTY: images is 0. INVALID_ARGUMENT with OUT_OF_RANGE: images or
  // generation < 0, or images above 2^62.
  static absl::StatusOr<SampleOrder> Create(int64_t generation, int64_t images, uint64_t seed,
                                            bool shuffled);

  // The row, [0, images), of `global_sample_index` (>= 0, which the caller has checked).
  int64_t RowOf(int64_t global_sample_index) const;

  int64_t EpochOf(int64_t global_sample_index) const { return global_sample_index / images_; }
  int64_t images() const { return images_; }

 private:
  SampleOrder(int64_t generation, int64_t images, uint64_t seed, bool shuffled);
  // The bijection of [0, 2^(2 * half_bits_)) that `epoch` uses.
  uint64_t Permute(uint64_t value, uint64_t epoch) const;

  int64_t images_;
  bool shuffled_;
  int half_bits_;
  std::array<uint32_t, 2> key_;  // of seed and generation
};

// The samples of one rank at one step: global indices [first, first + count).
struct SampleSlice {
  int64_t first = 0;
  int64_t count = 0;
  friend bool operator==(const SampleSlice&, const SampleSlice&) = default;
};

// Slice `rank` of step `step`: [step * global_batch + rank * local, + local)
// with local = global_batch / world_size.
// INVALID_ARGUMENT with OUT_OF_RANGE and the field: step < 0, world_size < 1, rank outside
// [0, world_size), global_batch < 1 or not divisible by world_size, or an index above 2^63 - 1.
absl::StatusOr<SampleSlice> SliceOfRank(int64_t step, int64_t global_batch, int rank,
                                        int world_size);

}  // namespace seer::dataservice
