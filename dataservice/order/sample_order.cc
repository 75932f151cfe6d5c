#include "dataservice/order/sample_order.h"

#include <bit>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/philox.h"

namespace seer::dataservice {
namespace {

// Four rounds make a pseudo-random permutation on large domains (Luby and Rackoff 1988); tiny ones
// mix worse, so twice as many are taken. Changing this number changes every job's order.
constexpr int kRounds = 8;
constexpr int64_t kMaxImages = int64_t{1} << 62;

absl::Status OutOfRange(absl::string_view field, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, message).Field(field);
}

}  // namespace

absl::StatusOr<SampleOrder> SampleOrder::Create(int64_t generation, int64_t images, uint64_t seed,
                                                bool shuffled) {
  if (generation < 0)
    return OutOfRange("generation", absl::StrCat("generation ", generation, " is negative"));
  if (images < 0 || images > kMaxImages) {
    return OutOfRange("images", absl::StrCat(images, " images are outside [0, 2^62]"));
  }
  if (images == 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty,
                 absl::StrCat("generation ", generation, " holds no image"))
        .Hint("Ingest images into the pool, or name a generation that has some.")
        .With("generation", absl::StrCat(generation));
  }
  return SampleOrder(generation, images, seed, shuffled);
}

SampleOrder::SampleOrder(int64_t generation, int64_t images, uint64_t seed, bool shuffled)
    : images_(images), shuffled_(shuffled) {
  const int bits = std::bit_width(static_cast<uint64_t>(images - 1));
  half_bits_ = bits <= 2 ? 1 : (bits + 1) / 2;
  Philox keys(seed, RandomPurpose::kSampleOrder, static_cast<uint64_t>(generation));
  key_ = {keys.Next32(), keys.Next32()};
}

uint64_t SampleOrder::Permute(uint64_t value, uint64_t epoch) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_;
  uint64_t right = value & mask;
  for (uint32_t round = 0; round < kRounds; ++round) {
    const auto block =
        PhiloxBlock({static_cast<uint32_t>(right), round, static_cast<uint32_t>(epoch),
                     static_cast<uint32_t>(epoch >> 32)},
                    key_);
    const uint64_t next = left ^ (block[0] & mask);
    left = right;
    right = next;
  }
  return (left << half_bits_) | right;
}

int64_t SampleOrder::RowOf(int64_t global_sample_index) const {
  SEER_CHECK(global_sample_index >= 0) << "sample index " << global_sample_index;
  const int64_t position = global_sample_index % images_;
  if (!shuffled_) return position;
  // Cycle walking: the permutation lives on up to 4 x images values; applied until it lands on a
  // row, it is a permutation of the rows. It ends because the cycle comes back to `position`
  // itself.
  const uint64_t epoch = static_cast<uint64_t>(global_sample_index / images_);
  uint64_t value = static_cast<uint64_t>(position);
  do {
    value = Permute(value, epoch);
  } while (value >= static_cast<uint64_t>(images_));
  return static_cast<int64_t>(value);
}

absl::StatusOr<SampleSlice> SliceOfRank(int64_t step, int64_t global_batch, int rank,
                                        int world_size) {
  if (step < 0) return OutOfRange("step", absl::StrCat("step ", step, " is negative"));
  if (world_size < 1)
    return OutOfRange("world_size", absl::StrCat("world size ", world_size, " is below 1"));
  if (rank < 0 || rank >= world_size) {
    return OutOfRange("rank", absl::StrCat("rank ", rank, " is outside [0, ", world_size, ")"));
  }
  if (global_batch < 1 || global_batch % world_size != 0) {
    return OutOfRange("global_batch",
                      absl::StrCat("a global batch of ", global_batch,
                                   " cannot be split evenly over ", world_size, " ranks"));
  }
  if (step > std::numeric_limits<int64_t>::max() / global_batch - 1) {
    return OutOfRange("step", absl::StrCat("step ", step, " times ", global_batch,
                                           " samples does not fit 63 bits"));
  }
  const int64_t local = global_batch / world_size;
  return SampleSlice{step * global_batch + rank * local, local};
}

}  // namespace seer::dataservice
