#include "worker/trainer/planned_batches.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status_macros.h"

namespace seer::worker {

PlannedBatches::PlannedBatches(v1::StreamBatchesRequest request, Open open)
    : open_(std::move(open)), next_step_(request.first_step()), request_(std::move(request)) {
  absl::MutexLock lock(&mu_);
  stretches_.push_back({next_step_, open_(request_)});
}

absl::StatusOr<engine::Batch> PlannedBatches::Next() {
  while (stretches_.size() > 1 && stretches_[1].first_step <= next_step_) stretches_.pop_front();
  SEER_ASSIGN_OR_RETURN(engine::Batch batch, stretches_.front().source->Next());
  next_step_ = batch.step + 1;
  return batch;
}

void PlannedBatches::Follow(int64_t first_step, int64_t generation) {
  absl::MutexLock lock(&mu_);
  const auto& last = *request_.data_plan().rbegin();
  first_step = std::max(first_step, last.first_step() + 1);
  if (generation <= last.generation() || first_step >= request_.end_step()) return;
  v1::PlanEntry& entry = *request_.add_data_plan();
  entry.set_first_step(first_step);
  entry.set_generation(generation);
  request_.set_first_step(first_step);
  stretches_.push_back({first_step, open_(request_)});
  LogInfo("generation_follows", {{"generation", generation}, {"first_step", first_step}});
}

PlannedBatches::Plan PlannedBatches::plan() const {
  Plan plan;
  absl::MutexLock lock(&mu_);
  for (const v1::PlanEntry& entry : request_.data_plan()) {
    internal::v1::DataPlanEntry& to = *plan.Add();
    to.set_first_step(entry.first_step());
    to.set_generation(entry.generation());
  }
  return plan;
}

}  // namespace seer::worker
