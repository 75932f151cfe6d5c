// The series of one rank's steps: names and help of docs/metrics.md. Thread-safe, as the registry
// is.
#pragma once

#include <cstdint>
#include <string>

#include "common/metrics/registry.h"
#include "engine/session/train_session.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/v1/job_spec.pb.h"
#include "worker/trainer/step_tally.h"

namespace seer::worker {

// Labels of a rank's series: job and rank.
MetricLabels RankLabels(const internal::v1::Assign& assign);

class TrainMetrics {
 public:
  // `registry` must outlive this. `peak_flops`: that the rank's device can do in a second; 0: not
  // known.
  TrainMetrics(MetricsRegistry& registry, const internal::v1::Assign& assign, int64_t prototypes,
               double peak_flops);

  // What the spec says, with its defaults.
  void ObserveSpec(const v1::JobSpec& spec);
  // A step took `seconds`, of which `wait_seconds` for its batch. `stall_ratio`: exponential mean.
  void Observe(const engine::StepReport& report, double seconds, double wait_seconds,
               double stall_ratio);
  // Training waited for a checkpoint.
  void ObserveCheckpoint(double seconds);

 private:
  void ObserveLoss(const engine::StepReport& report);
  void ObserveSwav(const engine::StepReport& report);
  void ObserveUtilisation(const engine::StepReport& report, double seconds);
  void ObservePhase(const char* phase, double seconds);
  void ObservePhases(const engine::PhaseSeconds& phases, double wait_seconds);
  void Set(const char* name, const char* help, double value);
  MetricLabels With(const std::string& key, const std::string& value) const;

  MetricsRegistry& registry_;
  const MetricLabels labels_;
  const double log_k_;
  const double peak_flops_;
  double mean_mfu_ = -1;  // exponential; below 0: no step yet
};

}  // namespace seer::worker
