// What the job does about steps that were refused because a number in them was not finite: counts
// those in a row and decides by failure.refusedStepPolicy. Pure; every rank decides the same after
// the same step. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/session/batch.h"
#include "engine/session/train_session.h"
#include "seer/v1/job_spec.pb.h"

namespace seer::worker {

class RefusedSteps {
 public:
  static constexpr size_t kMaxNamedImages = 64;

  explicit RefusedSteps(const v1::FailureSpec& failure)
      : policy_(failure.refused_step_policy()), limit_(failure.refused_step_limit()) {}

  // After each step; one that overflowed alone is not one of a row and does not end it. With
  // NON_FINITE, once as many steps in a row were refused as the limit says:
  // ABORTED: roll back, a new attempt may do better; FAILED_PRECONDITION: the job is to fail.
  absl::Status Observe(const engine::StepReport& report);
  int64_t in_a_row() const { return in_a_row_; }
  // With the policy ROLL_BACK no checkpoint is due while steps are refused: it would keep what is
  // to be left behind.
  bool keeps_state() const {
    return policy_ != v1::REFUSED_STEP_POLICY_ROLL_BACK || in_a_row_ == 0;
  }

 private:
  const v1::RefusedStepPolicy policy_;
  const int64_t limit_;
  int64_t in_a_row_ = 0;
};

// "<hex>,<hex>,… and 3 more": the batch's images, at most kMaxNamedImages of them by name.
std::string NameImages(const engine::Batch& batch);

}  // namespace seer::worker
