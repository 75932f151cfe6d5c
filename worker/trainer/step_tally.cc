#include "worker/trainer/step_tally.h"

#include <utility>

namespace seer::worker {

void StepTally::Add(const engine::StepReport& report, double waited_seconds, double seconds) {
  const bool first = !std::exchange(any_, true);
  if (first) first_loss_ = report.loss;
  const double weight = first ? 1 : kMeanWeight;
  mean_seconds_ += weight * (seconds - mean_seconds_);
  mean_stall_ += weight * ((seconds > 0 ? waited_seconds / seconds : 0) - mean_stall_);
  waited_ += waited_seconds;
  trained_ += seconds;
  skipped_ += report.skipped;
}

internal::v1::ReportProgressRequest StepTally::Report(const engine::StepReport& report,
                                                      int64_t global_batch) const {
  internal::v1::ReportProgressRequest message;
  message.set_step(report.step + 1);
  message.set_loss(report.loss);
  message.set_learning_rate(report.learning_rate);
  if (mean_seconds_ > 0)
    message.set_images_per_second(static_cast<double>(global_batch) / mean_seconds_);
  message.set_step_seconds(mean_seconds_);
  message.set_data_stall_ratio(mean_stall_);
  message.set_prototypes_used_ratio(report.prototypes_used_ratio);
  message.set_assignment_entropy_nats(report.assignment_entropy_nats);
  message.set_feature_std(report.feature_std);
  message.set_gradient_norm(report.gradient_norm);
  message.set_skipped_steps(skipped_);
  message.set_data_wait_seconds(waited_);
  message.set_train_seconds(trained_);
  message.set_checkpoint_seconds(held_up_);
  message.set_first_loss(first_loss_);
  return message;
}

}  // namespace seer::worker
