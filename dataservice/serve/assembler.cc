#include "dataservice/serve/assembler.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/batches/message.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/order/substitute.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {
namespace {

constexpr uint32_t kSubstituteAttempts = 8;

absl::Status Damaged(const std::string& why) {
  return Error(absl::StatusCode::kDataLoss, reason::kImageCorrupt, why);
}

absl::Status TakenDown(const ImageId& id) {
  return Error(absl::StatusCode::kDataLoss, reason::kImageTakenDown,
               absl::StrCat("image ", IdHex(id), " was taken down"))
      .Hint("`seer pool takedown-status` says when and why");
}

void Fail(PendingBatch& batch, const absl::Status& status) {
  absl::MutexLock lock(&batch.mu);
  if (batch.status.ok()) batch.status = status;
}

// What a task spends on a batch. A lap that ends after the last sample is done may go uncounted.
class BusyTime {
 public:
  explicit BusyTime(PendingBatch& batch) : batch_(batch) {}
  void Lap() {
    const absl::Duration now = Clock::Real().Steady();
    batch_.busy_nanoseconds += absl::ToInt64Nanoseconds(now - std::exchange(since_, now));
  }

 private:
  PendingBatch& batch_;
  absl::Duration since_ = Clock::Real().Steady();
};

void CountDown(PendingBatch& batch, size_t samples) {
  for (size_t i = 0; i < samples; ++i) batch.done.DecrementCount();
}

}  // namespace

// A sample of the batch and its row.
struct Assembler::Pick {
  int64_t row = 0;
  int sample = 0;       // its place in the batch
  ImageLocation image;  // once the row has been looked up
};

// A batch and all that its tasks need. The tasks share it; each has picks of its own.
struct Assembler::Assembly {
  std::shared_ptr<const StreamPlan> plan;
  std::shared_ptr<const Generation> generation;
  std::shared_ptr<const TakedownSet> takedowns;
  std::shared_ptr<PendingBatch> batch;
  SampleOrder order;
  int count = 0;
  int64_t first = 0;
  std::vector<uint8_t*> pixels = {};  // of each crop group
  uint8_t* ids = nullptr;
  std::vector<Pick> picks = {};  // by row, then, once looked up, those of a block by place
};

std::shared_ptr<PendingBatch> Assembler::Begin(std::shared_ptr<const StreamPlan> plan,
                                               std::shared_ptr<const Generation> generation,
                                               int64_t step, int64_t first, int count,
                                               BatchMemory memory) {
  auto batch = std::make_shared<PendingBatch>(count);
  batch->pixels = std::move(memory.pixels);
  auto order =
      SampleOrder::Create(generation->number(), generation->images(), plan->seed, plan->order);
  const auto takedowns = takedowns_.Of(plan->pool);
  if (!order.ok() || !takedowns.ok()) {
    Fail(*batch, order.ok() ? takedowns.status() : order.status());
    CountDown(*batch, static_cast<size_t>(count));
    return batch;
  }
  auto assembly = std::make_shared<Assembly>(
      Assembly{std::move(plan), std::move(generation), *takedowns, batch, *order, count, first});
  v1::BatchMessage& message = batch->message;
  message.set_step(step);
  message.set_first_sample(first);
  message.set_slot(memory.slot);
  uint8_t* pixels = batch->pixels.get();
  for (const v1::CropRecipe& recipe : assembly->plan->crops) {
    v1::CropTensor& crop = *message.add_crops();
    crop.set_views(recipe.views());
    crop.set_samples(count);
    crop.set_size(recipe.size());
    assembly->pixels.push_back(pixels);
    pixels += PixelBytes(crop);
  }
  message.mutable_image_ids()->resize(static_cast<size_t>(count) * 32);
  assembly->ids = reinterpret_cast<uint8_t*>(message.mutable_image_ids()->data());
  message.mutable_labels()->Resize(count, -1);
  std::vector<Pick>& picks = assembly->picks;
  picks.reserve(static_cast<size_t>(count));
  for (int sample = 0; sample < count; ++sample)
    picks.push_back({assembly->order.RowOf(first + sample), sample, {}});
  std::sort(picks.begin(), picks.end(), [](const Pick& a, const Pick& b) {
    return std::tie(a.row, a.sample) < std::tie(b.row, b.sample);
  });
  for (size_t begin = 0, end = 0; begin < picks.size(); begin = end) {
    const int64_t block = picks[begin].row / kIndexBlockRows;
    while (end < picks.size() && picks[end].row / kIndexBlockRows == block) ++end;
    work_.Post([this, assembly, begin, end] { LookUp(assembly, begin, end); });
  }
  return batch;
}

// Finds where the picks [begin, end) lie, whose rows are of one block, and has them read.
void Assembler::LookUp(const std::shared_ptr<Assembly>& assembly, size_t begin, size_t end) {
  PendingBatch& batch = *assembly->batch;
  std::vector<Pick>& picks = assembly->picks;
  if (batch.cancelled) return CountDown(batch, end - begin);
  BusyTime busy(batch);
  const int64_t first_row = picks[begin].row;
  const auto rows = assembly->generation->Locations(first_row, picks[end - 1].row - first_row + 1);
  if (!rows.ok()) {
    Fail(batch, rows.status());
    return CountDown(batch, end - begin);
  }
  for (size_t i = begin; i < end; ++i)
    picks[i].image = (*rows)[static_cast<size_t>(picks[i].row - first_row)];
  std::sort(picks.begin() + static_cast<ptrdiff_t>(begin),
            picks.begin() + static_cast<ptrdiff_t>(end), [](const Pick& a, const Pick& b) {
              return std::tie(a.image.shard, a.image.offset, a.sample) <
                     std::tie(b.image.shard, b.image.offset, b.sample);
            });
  busy.Lap();
  // A small batch is still spread over all threads.
  const size_t most = static_cast<size_t>(
      std::clamp(assembly->count / (2 * work_.threads()), 1, options_.read_images));
  for (size_t from = begin, to = begin; from < end; from = to) {
    const ImageLocation& head = picks[from].image;
    int64_t read_end = head.offset + head.size;
    for (++to; to < end && to - from < most; ++to) {
      const ImageLocation& next = picks[to].image;
      const int64_t next_end = std::max(read_end, next.offset + next.size);
      if (next.shard != head.shard || next.offset - read_end > options_.gap_bytes ||
          next_end - head.offset > options_.read_bytes) {
        break;
      }
      read_end = next_end;
    }
    work_.Post([this, assembly, from, to] { Read(*assembly, from, to); });
  }
}

// Reads the picks [begin, end), which lie in one shard, ascending, at once; then makes each sample.
void Assembler::Read(Assembly& assembly, size_t begin, size_t end) {
  PendingBatch& batch = *assembly.batch;
  if (batch.cancelled) return CountDown(batch, end - begin);
  BusyTime busy(batch);
  const ImageLocation& head = assembly.picks[begin].image;
  int64_t read_end = head.offset;
  for (size_t i = begin; i < end; ++i)
    read_end = std::max(read_end, assembly.picks[i].image.offset + assembly.picks[i].image.size);
  const auto run = ReadBytes(assembly, head.shard, head.offset, read_end - head.offset);
  for (size_t i = begin; i < end; ++i) {
    const Pick& pick = assembly.picks[i];
    // Cut short where the shard is.
    const size_t at =
        run.ok() ? std::min(static_cast<size_t>(pick.image.offset - head.offset), run->size()) : 0;
    const auto bytes = run.ok() ? absl::StatusOr<absl::string_view>(absl::string_view(*run).substr(
                                      at, static_cast<size_t>(pick.image.size)))
                                : run.status();
    Sample(assembly, pick, bytes);
    busy.Lap();
    batch.done.DecrementCount();
  }
}

void Assembler::Sample(Assembly& assembly, const Pick& pick,
                       const absl::StatusOr<absl::string_view>& bytes) {
  PendingBatch& batch = *assembly.batch;
  const Generation& generation = *assembly.generation;
  const int64_t index = assembly.first + pick.sample;
  ImageLocation image = pick.image;
  absl::Status status;
  bool damaged = false;
  for (uint32_t attempt = 0; attempt <= kSubstituteAttempts; ++attempt) {
    if (attempt == 0) {
      status = bytes.ok() ? Fill(assembly, image, *bytes, pick.sample) : bytes.status();
    } else {
      const int64_t row =
          SubstituteSample(assembly.plan->seed, index, attempt, generation.images());
      const auto found = generation.Locations(row, 1);
      if (!found.ok()) return Fail(batch, found.status());
      image = found->front();
      const auto read = ReadBytes(assembly, image.shard, image.offset, image.size);
      status = read.ok() ? Fill(assembly, image, *read, pick.sample) : read.status();
    }
    if (status.ok()) {
      std::memcpy(assembly.ids + size_t{32} * pick.sample, image.id.data(), image.id.size());
      batch.message.mutable_labels()->Set(pick.sample, image.label);
      if (attempt == 0) return;
      absl::MutexLock lock(&batch.mu);
      batch.message.add_substituted(pick.sample);
      batch.bad += damaged ? 1 : 0;
      return;
    }
    damaged = damaged || !HasReason(status, reason::kImageTakenDown);
    const auto detail = GetErrorDetail(status);
    const bool of_the_image = status.code() == absl::StatusCode::kDataLoss ||
                              status.code() == absl::StatusCode::kInvalidArgument ||
                              HasReason(status, reason::kImageTooLarge);
    metrics_.bad_images.Add(1, {{"reason", detail ? detail->reason : "UNKNOWN"},
                                {"action", of_the_image ? "substituted" : "failed"}});
    if (!of_the_image) break;  // storage: the whole stream fails and is tried again elsewhere
  }
  Fail(batch, status);
}

absl::Status Assembler::Fill(Assembly& assembly, const ImageLocation& image,
                             absl::string_view bytes, int sample) {
  if (assembly.takedowns->Contains(image.id)) return TakenDown(image.id);
  if (Sha256(bytes) != image.id) {
    // A takedown that this batch does not know of yet may have wiped it: that is no damage.
    SEER_ASSIGN_OR_RETURN(const auto now, takedowns_.Read(assembly.plan->pool));
    if (now->Contains(image.id)) return TakenDown(image.id);
    return Damaged(absl::StrCat("bytes of shard ", assembly.generation->ShardOf(image).name, " at ",
                                image.offset, " are not those that were ingested"));
  }
  const StreamPlan& plan = *assembly.plan;
  std::vector<CropSpec> crops;
  crops.reserve(static_cast<size_t>(plan.views()));
  uint32_t view = 0;
  for (size_t group = 0; group < plan.crops.size(); ++group) {
    const v1::CropRecipe& recipe = plan.crops[group];
    const size_t crop_bytes = size_t{3} * recipe.size() * recipe.size();
    for (int v = 0; v < recipe.views(); ++v, ++view) {
      CropSpec crop;
      crop.box = BoxOf(recipe, plan.seed, assembly.first + sample, view, image.width, image.height);
      crop.size = recipe.size();
      crop.out =
          assembly.pixels[group] + (static_cast<size_t>(v) * assembly.count + sample) * crop_bytes;
      crop.interpolation = InterpolationOf(recipe);
      crops.push_back(crop);
    }
  }
  static thread_local DecodeScratch scratch;
  const absl::Duration start = Clock::Real().Steady();
  SEER_ASSIGN_OR_RETURN(const ImageInfo info, DecodeAndCrop(bytes, crops, {}, &scratch));
  metrics_.decode_seconds.Observe(absl::ToDoubleSeconds(Clock::Real().Steady() - start),
                                  {{"format", std::string(FormatName(info.format))}});
  return absl::OkStatus();
}

absl::StatusOr<std::string> Assembler::ReadBytes(const Assembly& assembly, int32_t shard,
                                                 int64_t offset, int64_t size) {
  const std::string& pool = assembly.plan->pool;
  const std::string& name = assembly.generation->manifest().shards[static_cast<size_t>(shard)].name;
  auto bytes = objects_.GetRange(ShardKey(pool, assembly.takedowns->ShardNow(name)), offset, size);
  if (bytes.status().code() == absl::StatusCode::kNotFound) {
    // A takedown that this batch does not know of yet has replaced the shard.
    SEER_ASSIGN_OR_RETURN(const auto now, takedowns_.Read(pool));
    bytes = objects_.GetRange(ShardKey(pool, now->ShardNow(name)), offset, size);
  }
  if (bytes.ok()) metrics_.bytes_read.Add(static_cast<double>(bytes->size()), {{"source", "pool"}});
  return bytes;
}

}  // namespace seer::dataservice
