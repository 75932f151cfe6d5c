// One rank's batches over a data plan that may grow while the job runs: the next generation's
// stream is opened some steps ahead, beside the one that is read, so that nothing is waited for.
// Next and Follow: by the training thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/session/batch.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/v1/batches.pb.h"

namespace seer::worker {

class PlannedBatches final : public engine::BatchSource {
 public:
  using Open =
      std::function<std::unique_ptr<engine::BatchSource>(const v1::StreamBatchesRequest& request)>;
  using Plan = google::protobuf::RepeatedPtrField<internal::v1::DataPlanEntry>;

  // `request`: of the whole job from its first_step on, with the plan so far.
  PlannedBatches(v1::StreamBatchesRequest request, Open open);

  absl::StatusOr<engine::Batch> Next() override;
  // From `first_step` on, which Next has not given yet, images come from `generation`; where the
  // plan's last begins at that step or later, from the step after. Passed over: one that is not
  // newer than the plan's last, or beyond the end.
  void Follow(int64_t first_step, int64_t generation) ABSL_LOCKS_EXCLUDED(mu_);
  Plan plan() const ABSL_LOCKS_EXCLUDED(mu_);  // from any thread

 private:
  struct Stretch {
    int64_t first_step;
    std::unique_ptr<engine::BatchSource> source;
  };
  const Open open_;
  int64_t next_step_;
  std::deque<Stretch> stretches_;  // the first is the one that is read
  mutable absl::Mutex mu_;
  v1::StreamBatchesRequest request_ ABSL_GUARDED_BY(mu_);
};

}  // namespace seer::worker
