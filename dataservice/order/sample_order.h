// Which image a global sample index means: a pure function of (generation, seed, index). Nothing is
// stored: the shuffle is a keyed permutation that is evaluated at one index at a time. Immutable,
// hence thread-safe; cheap to copy.
//
// global sample index = step * global_batch + position. epoch = index / images; within an epoch
// every row of the generation's catalogue comes exactly once, unless rows are drawn with
// replacement. World size and rank do not enter.
//
// A shuffle of a large catalogue is local, so that a step reads few places of the index: blocks of
// consecutive rows are permuted over the whole catalogue, and the rows of each `window_blocks` of
// them, a group, are permuted among themselves. A batch is drawn from one group (at most two), that
// is from blocks of all over the catalogue. The catalogue's last, shorter block takes part like any
// other, and the last group takes the blocks that do not fill one more. A catalogue of at most a
// window is permuted as a whole. docs/pool_format.md says how close to a full shuffle this is.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "dataservice/order/keyed_permutation.h"

namespace seer::dataservice {

enum class OrderKind {
  kSequential,   // the catalogue's order, epoch after epoch
  kShuffled,     // each row once an epoch
  kReplacement,  // each sample is any row, whatever came before
};

// Changing either default changes the order of every job on a larger pool.
struct OrderShape {
  int64_t block_rows = 64;
  int64_t window_blocks = 4096;
};

class SampleOrder {
 public:
  // `generation`: number of the pool's generation. `images`: rows of its catalogue. `shape` is
  // another than the default in tests only; both parts at least 1.
  // FAILED_PRECONDITION with POOL_EMPTY: images is 0. INVALID_ARGUMENT with OUT_OF_RANGE: images or
  // generation < 0, or images above 2^62.
  static absl::StatusOr<SampleOrder> Create(int64_t generation, int64_t images, uint64_t seed,
                                            OrderKind kind, OrderShape shape = {});

  // The row, [0, images), of `global_sample_index` (>= 0, which the caller has checked).
  int64_t RowOf(int64_t global_sample_index) const;

  // The inverse: the one global sample index of `epoch` (>= 0) whose row is `row`, in [0, images).
  // Not for kReplacement, where a row may come any number of times.
  int64_t SampleIndexOf(int64_t row, int64_t epoch) const;
  // Every global sample index in [first, end) whose row is `row`, ascending. A step an epoch; with
  // kReplacement it draws each index of the range, some 10 million a second.
  std::vector<int64_t> SampleIndicesOf(int64_t row, int64_t first, int64_t end) const;

  int64_t EpochOf(int64_t global_sample_index) const { return global_sample_index / images_; }
  int64_t images() const { return images_; }

 private:
  using Key = std::array<uint32_t, 2>;
  // A run of positions of an epoch that is permuted by itself.
  struct Group {
    int64_t number = 0;
    int64_t first_slot = 0;  // of its blocks, in the order of the epoch
    int64_t first = 0;       // position
    int64_t size = 0;        // positions
    int64_t short_end = 0;   // rows of its slots up to the end of the short block ...
    int64_t missing = 0;     // ... and the rows that this lacks to a full one; 0: none is short
  };

  SampleOrder(int64_t generation, int64_t images, uint64_t seed, OrderKind kind, OrderShape shape);
  int64_t window_rows() const { return shape_.block_rows * shape_.window_blocks; }
  // Slot of the catalogue's last block in `epoch`, if that is short; else one behind all.
  int64_t ShortSlot(int64_t epoch) const;
  Group GroupAt(int64_t number, int64_t short_slot) const;
  int64_t ShuffledRow(int64_t position, int64_t epoch) const;
  int64_t ShuffledPosition(int64_t row, int64_t epoch) const;
  KeyedPermutation Blocks(int64_t epoch) const;
  KeyedPermutation Inside(const Group& group, int64_t epoch) const;

  int64_t images_;
  OrderKind kind_;
  OrderShape shape_;
  int64_t slots_;    // blocks of the catalogue, the short one too
  int64_t missing_;  // rows that the last block lacks
  int64_t groups_;
  Key all_key_;  // all of seed and generation
  Key block_key_;
  Key group_key_;
  uint64_t draw_seed_;
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
