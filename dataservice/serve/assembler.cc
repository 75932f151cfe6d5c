#include "dataservice/serve/assembler.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/order/crops.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/order/substitute.h"

namespace seer::dataservice {
namespace {

constexpr uint32_t kSubstituteAttempts = 8;

absl::Status Damaged(const std::string& why) {
  return Error(absl::StatusCode::kDataLoss, reason::kImageCorrupt, why);
}

}  // namespace

struct Assembler::Layout {
  SampleOrder order;
  int count = 0;
  int64_t first = 0;
  std::vector<uint8_t*> pixels;  // of each crop group
  uint8_t* ids = nullptr;
};

std::shared_ptr<PendingBatch> Assembler::Begin(std::shared_ptr<const StreamPlan> plan,
                                               std::shared_ptr<const Generation> generation,
                                               int64_t step, int64_t first, int count) {
  auto batch = std::make_shared<PendingBatch>(count);
  auto order = SampleOrder::Create(generation->manifest.generation,
                                   static_cast<int64_t>(generation->images.size()), plan->seed,
                                   plan->shuffled);
  if (!order.ok()) {
    absl::MutexLock lock(&batch->mu);
    batch->status = order.status();
    for (int i = 0; i < count; ++i) batch->done.DecrementCount();
    return batch;
  }
  auto layout = std::make_shared<Layout>(Layout{*order, count, first, {}, nullptr});
  v1::BatchMessage& message = batch->message;
  message.set_step(step);
  message.set_first_sample(first);
  for (const v1::CropRecipe& recipe : plan->crops) {
    v1::CropTensor& crop = *message.add_crops();
    crop.set_views(recipe.views());
    crop.set_samples(count);
    crop.set_size(recipe.size());
    crop.mutable_pixels()->resize(static_cast<size_t>(recipe.views()) * count * recipe.size() *
                                  recipe.size() * 3);
    layout->pixels.push_back(reinterpret_cast<uint8_t*>(crop.mutable_pixels()->data()));
  }
  message.mutable_image_ids()->resize(static_cast<size_t>(count) * 32);
  layout->ids = reinterpret_cast<uint8_t*>(message.mutable_image_ids()->data());
  message.mutable_labels()->Resize(count, -1);
  for (int sample = 0; sample < count; ++sample) {
    work_.Post([this, plan, generation, layout, batch, sample] {
      if (!batch->cancelled) Sample(*plan, *generation, *layout, *batch, sample);
      batch->done.DecrementCount();
    });
  }
  return batch;
}

void Assembler::Sample(const StreamPlan& plan, const Generation& generation, const Layout& layout,
                       PendingBatch& batch, int sample) {
  const int64_t index = layout.first + sample;
  int64_t row = layout.order.RowOf(index);
  absl::Status status;
  for (uint32_t attempt = 0; attempt <= kSubstituteAttempts; ++attempt) {
    if (attempt > 0) row = SubstituteSample(plan.seed, index, attempt, layout.order.images());
    const ImageLocation& image = generation.images[static_cast<size_t>(row)];
    status = Fill(plan, image, generation, index, layout, batch, sample);
    if (status.ok()) {
      std::memcpy(layout.ids + size_t{32} * sample, image.id.data(), image.id.size());
      batch.message.mutable_labels()->Set(sample, image.label);
      if (attempt == 0) return;
      absl::MutexLock lock(&batch.mu);
      batch.message.add_substituted(sample);
      ++batch.bad;
      return;
    }
    const auto detail = GetErrorDetail(status);
    const bool of_the_image = status.code() == absl::StatusCode::kDataLoss ||
                              status.code() == absl::StatusCode::kInvalidArgument ||
                              HasReason(status, reason::kImageTooLarge);
    metrics_.bad_images.Add(1, {{"reason", detail ? detail->reason : "UNKNOWN"},
                                {"action", of_the_image ? "substituted" : "failed"}});
    if (!of_the_image) break;  // storage: the whole stream fails and is tried again elsewhere
  }
  absl::MutexLock lock(&batch.mu);
  if (batch.status.ok()) batch.status = status;
}

absl::Status Assembler::Fill(const StreamPlan& plan, const ImageLocation& image,
                             const Generation& generation, int64_t sample_index,
                             const Layout& layout, PendingBatch& batch, int sample) {
  const ShardInfo& shard = generation.manifest.shards[static_cast<size_t>(image.shard)];
  SEER_ASSIGN_OR_RETURN(const std::string bytes, objects_.GetRange(ShardKey(plan.pool, shard.name),
                                                                   image.offset, image.size));
  metrics_.bytes_read.Add(static_cast<double>(bytes.size()), {{"source", "pool"}});
  if (Sha256(bytes) != image.id)
    return Damaged(absl::StrCat("bytes of shard ", shard.name, " at ", image.offset,
                                " are not those that were ingested"));

  std::vector<CropSpec> crops;
  crops.reserve(static_cast<size_t>(plan.views()));
  uint32_t view = 0;
  for (size_t group = 0; group < plan.crops.size(); ++group) {
    const v1::CropRecipe& recipe = plan.crops[group];
    const size_t crop_bytes = size_t{3} * recipe.size() * recipe.size();
    for (int v = 0; v < recipe.views(); ++v, ++view) {
      CropSpec crop;
      crop.box = recipe.center() ? CenterCrop(recipe.size(), image.width, image.height)
                                 : RandomResizedCrop(plan.seed, sample_index, view, image.width,
                                                     image.height, recipe.min_scale(),
                                                     recipe.max_scale(), recipe.flip_probability());
      crop.size = recipe.size();
      crop.out =
          layout.pixels[group] + (static_cast<size_t>(v) * layout.count + sample) * crop_bytes;
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

}  // namespace seer::dataservice
