#include "dataservice/serve/batch_sequence.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/order/sample_order.h"

namespace seer::dataservice {
namespace {

// The share of bad images is judged over at least so many samples, so that one bad image early on
// does not end a stream that allows one in a hundred.
constexpr int64_t kJudgedSamples = 1000;
constexpr int64_t kWindowBytes = int64_t{640} << 20;  // of a sequence's batches

}  // namespace

size_t BatchSequence::WindowOf(int64_t batch_bytes) {
  return static_cast<size_t>(std::clamp<int64_t>(kWindowBytes / batch_bytes, 2, 4));
}

absl::StatusOr<std::unique_ptr<BatchSequence>> BatchSequence::Open(StreamPlan plan, Parts parts) {
  SEER_ASSIGN_OR_RETURN(auto generation,
                        parts.generations.Get(plan.pool, plan.GenerationAt(plan.first_step)));
  SEER_RETURN_IF_ERROR(CheckCropsFit(plan.crops, plan.pool, generation->manifest().longest_side));
  return std::unique_ptr<BatchSequence>(
      new BatchSequence(std::move(plan), parts, std::move(generation)));
}

BatchSequence::BatchSequence(StreamPlan plan, Parts parts,
                             std::shared_ptr<const Generation> generation)
    : plan_(std::make_shared<const StreamPlan>(std::move(plan))),
      parts_(parts),
      generation_(std::move(generation)),
      end_step_(plan_->end_step),
      next_(plan_->first_step) {
  if (plan_->one_epoch) {
    end_step_ = std::min(end_step_,
                         (generation_->images() + plan_->global_batch - 1) / plan_->global_batch);
  }
}

// The tasks point into the batches.
BatchSequence::~BatchSequence() {
  for (auto& batch : batches_) batch->cancelled = true;
  for (auto& batch : batches_) batch->done.Wait();
  parts_.buffered.Add(-static_cast<int>(batches_.size()));
}

int64_t BatchSequence::batch_bytes() const {
  return plan_->global_batch / plan_->world_size * plan_->bytes_per_image();
}

absl::Status BatchSequence::Begin(absl::FunctionRef<BatchMemory()> memory) {
  const size_t window = WindowOf(batch_bytes());
  while (next_ < end_step_ && batches_.size() < window) {
    if (generation_->number() != plan_->GenerationAt(next_)) {
      SEER_ASSIGN_OR_RETURN(generation_,
                            parts_.generations.Get(plan_->pool, plan_->GenerationAt(next_)));
    }
    SEER_ASSIGN_OR_RETURN(SampleSlice slice,
                          SliceOfRank(next_, plan_->global_batch, plan_->rank, plan_->world_size));
    if (plan_->one_epoch) slice.count = std::min(slice.count, generation_->images() - slice.first);
    BatchMemory place = memory();
    if (place.pixels == nullptr) break;
    batches_.push_back(parts_.assembler.Begin(plan_, generation_, next_, slice.first,
                                              static_cast<int>(slice.count), std::move(place)));
    parts_.buffered.Add(1);
    ++next_;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<PendingBatch>> BatchSequence::Pop() {
  batches_.front()->done.Wait();
  std::shared_ptr<PendingBatch> batch = std::move(batches_.front());
  batches_.pop_front();
  parts_.buffered.Add(-1);
  SEER_RETURN_IF_ERROR(Judge(*batch));
  return batch;
}

absl::Status BatchSequence::Judge(PendingBatch& batch) {
  {
    absl::MutexLock lock(&batch.mu);
    if (!batch.status.ok())
      return WithContext(batch.status, absl::StrCat("step ", batch.message.step()));
    bad_ += batch.bad;
    std::sort(batch.message.mutable_substituted()->begin(),
              batch.message.mutable_substituted()->end());
  }
  popped_samples_ += batch.message.labels_size();
  if (static_cast<double>(bad_) <=
      plan_->max_bad_ratio * static_cast<double>(std::max(popped_samples_, kJudgedSamples))) {
    return absl::OkStatus();
  }
  return Error(
             absl::StatusCode::kDataLoss, reason::kTooManyBadImages,
             absl::StrCat(bad_, " of ", popped_samples_, " images of pool ", plan_->pool,
                          " could not be decoded, above the job's bound of ", plan_->max_bad_ratio))
      .Field("data.maxBadRatio")
      .Hint("look at the pool's shards (a damaged disk or copy), or raise data.maxBadRatio")
      .With("pool", plan_->pool);
}

}  // namespace seer::dataservice
