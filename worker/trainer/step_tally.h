// What a rank's steps add up to since its attempt began, as it is reported: sums and exponential
// means. Pure. Not thread-safe.
#pragma once

#include <cstdint>

#include "engine/session/train_session.h"
#include "seer/internal/v1/trainer.pb.h"

namespace seer::worker {

class StepTally {
 public:
  static constexpr double kMeanWeight = 0.1;  // of the newest step in exponential means

  // `waited_seconds` for the batch are part of the step's `seconds`.
  void Add(const engine::StepReport& report, double waited_seconds, double seconds);
  // That training waited for a checkpoint, beside its steps.
  void AddCheckpoint(double seconds) { held_up_ += seconds; }
  double stall_ratio() const { return mean_stall_; }
  // All but attempt and job. `report`: the newest step's; `global_batch`: images a step.
  internal::v1::ReportProgressRequest Report(const engine::StepReport& report,
                                             int64_t global_batch) const;

 private:
  bool any_ = false;
  int64_t skipped_ = 0;
  double waited_ = 0, trained_ = 0, held_up_ = 0, first_loss_ = 0, mean_seconds_ = 0,
         mean_stall_ = 0;
};

}  // namespace seer::worker
