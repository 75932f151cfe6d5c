#include "worker/trainer/train_metrics.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace seer::worker {

MetricLabels RankLabels(const internal::v1::Assign& assign) {
  return {{"job", std::string(absl::StripPrefix(assign.job(), "jobs/"))},
          {"rank", absl::StrCat(assign.rank())}};
}

TrainMetrics::TrainMetrics(MetricsRegistry& registry, const internal::v1::Assign& assign,
                           int64_t prototypes, double peak_flops)
    : registry_(registry),
      labels_(RankLabels(assign)),
      log_k_(std::log(static_cast<double>(prototypes))),
      peak_flops_(peak_flops) {}

void TrainMetrics::Observe(const engine::StepReport& report, double seconds, double wait_seconds,
                           double stall_ratio) {
  Set("seer_train_step", "Steps done.", static_cast<double>(report.step + 1));
  Set("seer_train_data_stall_ratio", "Share of a step spent waiting for data, exponential mean.",
      stall_ratio);
  ObserveLoss(report);
  ObserveSwav(report);
  ObserveUtilisation(report, seconds);
  ObservePhases(report.phases, wait_seconds);
  registry_.AddCounter("seer_train_images_total", "Images trained on by this rank.")
      .Add(static_cast<double>(report.images), labels_);
  registry_.AddCounter("seer_train_flops_total", "Analytic count of the work done by this rank.")
      .Add(report.flops, labels_);
  for (const auto& [kind, bytes] :
       {std::pair("used", report.device_used_bytes), std::pair("peak", report.device_peak_bytes)}) {
    registry_.AddGauge("seer_train_memory_bytes", "Memory of the device that the rank holds.")
        .Set(static_cast<double>(bytes), With("kind", kind));
  }
  Set("seer_train_loss_scale", "Factor of the newest step's loss; 1 but in fp16.",
      report.loss_scale);
  if (!report.skipped) return;
  registry_
      .AddCounter("seer_train_nonfinite_steps_total",
                  "Steps refused because a number was not finite.")
      .Add(1, With("action", report.overflow ? "lower_scale" : "skip"));
}

void TrainMetrics::ObserveSpec(const v1::JobSpec& spec) {
  Gauge& steps = registry_.AddGauge(
      "seer_train_spec_steps",
      "What the spec says: steps of the job, of its warm-up, between checkpoints.");
  for (const auto& [what, value] :
       {std::pair("total", spec.optim().steps()), std::pair("warmup", spec.optim().warmup_steps()),
        std::pair("checkpoint", spec.checkpoint().every_steps())})
    steps.Set(static_cast<double>(value), With("what", what));
  const v1::SwavSpec& swav = spec.loss().swav();
  Set("seer_swav_codes_per_prototype_ratio", "Codes of a step, over all ranks, for a prototype.",
      static_cast<double>(swav.assign_views() * spec.data().global_batch()) /
          static_cast<double>(swav.prototypes()));
}

void TrainMetrics::ObserveLoss(const engine::StepReport& report) {
  Set("seer_train_loss", "SwAV loss of the newest step, mean over ranks.", report.loss);
  Set("seer_train_learning_rate", "Learning rate of the newest step.", report.learning_rate);
  Set("seer_train_gradient_norm", "Norm of the gradient before the update.", report.gradient_norm);
}

void TrainMetrics::ObserveSwav(const engine::StepReport& report) {
  Set("seer_swav_prototypes_used_ratio",
      "Prototypes that are the first choice of at least one code, over all.",
      report.prototypes_used_ratio);
  Set("seer_swav_assignment_entropy_nats", "Entropy of the mean code; ln K: all prototypes alike.",
      report.assignment_entropy_nats);
  Set("seer_swav_marginal_kl_nats",
      "Divergence of the mean code from the prototypes' target shares; 0: as wanted.",
      report.marginal_kl_nats);
  Set("seer_swav_top_prototype_share_ratio",
      "Share of the codes that the most used prototype gets.", report.top_prototype_share);
  Set("seer_swav_feature_std", "Mean standard deviation of the normalised feature; 0: collapsed.",
      report.feature_std);
  Set("seer_swav_sinkhorn_residual", "Largest relative deviation of a prototype's marginal.",
      report.sinkhorn_residual);
  Set("seer_swav_loss_over_ln_k_ratio",
      "Loss over ln K; near 1: nothing is learned, or all collapsed.", report.loss / log_k_);
  if (report.queue_fill_ratio)
    Set("seer_swav_queue_fill_ratio", "Share of the queue of features that is filled.",
        *report.queue_fill_ratio);
  if (report.queue_age_steps)
    Set("seer_swav_queue_age_steps", "Steps whose features the queue holds.",
        *report.queue_age_steps);
}

void TrainMetrics::ObserveUtilisation(const engine::StepReport& report, double seconds) {
  if (peak_flops_ <= 0 || seconds <= 0) return;
  const double mfu = report.flops / seconds / peak_flops_;
  mean_mfu_ = mean_mfu_ < 0 ? mfu : mean_mfu_ + StepTally::kMeanWeight * (mfu - mean_mfu_);
  Set("seer_train_mfu_ratio",
      "Model FLOP utilisation: work by the analytic count over what the device could do, "
      "exponential mean.",
      mean_mfu_);
}

void TrainMetrics::ObserveCheckpoint(double seconds) { ObservePhase("checkpoint", seconds); }

void TrainMetrics::ObservePhase(const char* phase, double seconds) {
  registry_
      .AddHistogram("seer_train_step_seconds", "Time of a step's phases.",
                    {.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30})
      .Observe(seconds, With("phase", phase));
}

void TrainMetrics::ObservePhases(const engine::PhaseSeconds& phases, double wait_seconds) {
  for (const auto& [phase, seconds] :
       {std::pair("data", wait_seconds), std::pair("copy", phases.copy),
        std::pair("augment", phases.augment), std::pair("forward", phases.forward),
        std::pair("loss", phases.loss), std::pair("backward", phases.backward),
        std::pair("communication", phases.communication), std::pair("optimizer", phases.optimizer)})
    ObservePhase(phase, seconds);
}

void TrainMetrics::Set(const char* name, const char* help, double value) {
  registry_.AddGauge(name, help).Set(value, labels_);
}

MetricLabels TrainMetrics::With(const std::string& key, const std::string& value) const {
  MetricLabels labels = labels_;
  labels[key] = value;
  return labels;
}

}  // namespace seer::worker
