#include "dataservice/order/sample_order.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "dataservice/order/keyed_permutation.h"

namespace seer::dataservice {
namespace {

constexpr int64_t kMaxImages = int64_t{1} << 62;

absl::Status OutOfRange(absl::string_view field, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, message).Field(field);
}

}  // namespace

absl::StatusOr<SampleOrder> SampleOrder::Create(int64_t generation, int64_t images, uint64_t seed,
                                                OrderKind kind, OrderShape shape) {
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
  SEER_CHECK(shape.block_rows >= 1 && shape.window_blocks >= 1)
      << shape.block_rows << " rows, " << shape.window_blocks << " blocks";
  return SampleOrder(generation, images, seed, kind, shape);
}

SampleOrder::SampleOrder(int64_t generation, int64_t images, uint64_t seed, OrderKind kind,
                         OrderShape shape)
    : images_(images), kind_(kind), shape_(shape) {
  slots_ = (images - 1) / shape.block_rows + 1;
  missing_ = slots_ * shape.block_rows - images;
  groups_ = std::max<int64_t>(1, slots_ / shape.window_blocks);
  Philox keys(seed, RandomPurpose::kSampleOrder, static_cast<uint64_t>(generation));
  for (Key* key : {&all_key_, &block_key_, &group_key_}) *key = {keys.Next32(), keys.Next32()};
  draw_seed_ = keys.Next64();
}

int64_t SampleOrder::RowOf(int64_t global_sample_index) const {
  SEER_CHECK(global_sample_index >= 0) << "sample index " << global_sample_index;
  if (kind_ == OrderKind::kReplacement) {
    Philox random(draw_seed_, RandomPurpose::kSampleOrder,
                  static_cast<uint64_t>(global_sample_index));
    return static_cast<int64_t>(random.Below(static_cast<uint64_t>(images_)));
  }
  const int64_t position = global_sample_index % images_;
  return kind_ == OrderKind::kSequential ? position
                                         : ShuffledRow(position, EpochOf(global_sample_index));
}

int64_t SampleOrder::SampleIndexOf(int64_t row, int64_t epoch) const {
  SEER_CHECK(row >= 0 && row < images_ && epoch >= 0) << "row " << row << ", epoch " << epoch;
  SEER_CHECK(kind_ != OrderKind::kReplacement) << "drawn rows have no place of their own";
  return epoch * images_ + (kind_ == OrderKind::kSequential ? row : ShuffledPosition(row, epoch));
}

std::vector<int64_t> SampleOrder::SampleIndicesOf(int64_t row, int64_t first, int64_t end) const {
  SEER_CHECK(first >= 0) << "sample index " << first;
  std::vector<int64_t> indices;
  if (kind_ == OrderKind::kReplacement) {
    for (int64_t index = first; index < end; ++index)
      if (RowOf(index) == row) indices.push_back(index);
    return indices;
  }
  for (int64_t epoch = EpochOf(first); first < end && epoch <= EpochOf(end - 1); ++epoch) {
    const int64_t index = SampleIndexOf(row, epoch);
    if (index >= first && index < end) indices.push_back(index);
  }
  return indices;
}

KeyedPermutation SampleOrder::Blocks(int64_t epoch) const { return {slots_, block_key_, epoch}; }

KeyedPermutation SampleOrder::Inside(const Group& group, int64_t epoch) const {
  const auto number = static_cast<uint64_t>(group.number);
  const auto block = PhiloxBlock(
      {static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32),
       static_cast<uint32_t>(epoch), static_cast<uint32_t>(static_cast<uint64_t>(epoch) >> 32)},
      group_key_);
  return {group.size, {block[0], block[1]}, 0};
}

int64_t SampleOrder::ShortSlot(int64_t epoch) const {
  return missing_ == 0 ? slots_ : Blocks(epoch).Inverse(slots_ - 1);
}

SampleOrder::Group SampleOrder::GroupAt(int64_t number, int64_t short_slot) const {
  const int64_t window = shape_.window_blocks;
  Group group;
  group.number = number;
  group.first_slot = number * window;
  const int64_t end_slot = number == groups_ - 1 ? slots_ : group.first_slot + window;
  group.first =
      group.first_slot * shape_.block_rows - (short_slot < group.first_slot ? missing_ : 0);
  group.size = (end_slot - group.first_slot) * shape_.block_rows;
  group.short_end = group.size;
  if (short_slot >= group.first_slot && short_slot < end_slot) {
    group.missing = missing_;
    group.size -= missing_;
    group.short_end = (short_slot - group.first_slot + 1) * shape_.block_rows - missing_;
  }
  return group;
}

int64_t SampleOrder::ShuffledRow(int64_t position, int64_t epoch) const {
  if (images_ <= window_rows()) return KeyedPermutation(images_, all_key_, epoch).Of(position);
  const int64_t short_slot = ShortSlot(epoch);
  Group group = GroupAt(std::min(position / window_rows(), groups_ - 1), short_slot);
  // Behind the short block everything comes `missing_` positions earlier.
  if (position >= group.first + group.size) group = GroupAt(group.number + 1, short_slot);
  int64_t place = Inside(group, epoch).Of(position - group.first);
  if (place >= group.short_end) place += group.missing;
  const int64_t slot = group.first_slot + place / shape_.block_rows;
  return Blocks(epoch).Of(slot) * shape_.block_rows + place % shape_.block_rows;
}

int64_t SampleOrder::ShuffledPosition(int64_t row, int64_t epoch) const {
  if (images_ <= window_rows()) return KeyedPermutation(images_, all_key_, epoch).Inverse(row);
  const int64_t slot = Blocks(epoch).Inverse(row / shape_.block_rows);
  const Group group = GroupAt(std::min(slot / shape_.window_blocks, groups_ - 1), ShortSlot(epoch));
  int64_t place = (slot - group.first_slot) * shape_.block_rows + row % shape_.block_rows;
  if (place >= group.short_end) place -= group.missing;
  return group.first + Inside(group, epoch).Inverse(place);
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
