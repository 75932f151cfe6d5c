// The series of one rank's steps: names and help of docs/metrics.md. Thread-safe, as the registry
// is.
#pragma once

#include <cstdint>
#include <string>

#include "common/metrics/registry.h"
#include "engine/session/train_session.h"
#include "seer/internal/v1/agent.pb.h"

namespace seer::worker {

class TrainMetrics {
 public:
  // `registry` must outlive this.
  TrainMetrics(MetricsRegistry& registry, const internal::v1::Assign& assign, int64_t prototypes);

  // `wait_seconds`: for the step's batch. `stall_ratio`: exponential mean.
  void Observe(const engine::StepReport& report, double wait_seconds, double stall_ratio);

 private:
  void ObserveLoss(const engine::StepReport& report);
  void ObservePhases(const engine::PhaseSeconds& phases, double wait_seconds);
  void Set(const char* name, const char* help, double value);
  MetricLabels With(const std::string& key, const std::string& value) const;

  MetricsRegistry& registry_;
  const MetricLabels labels_;
  const double log_k_;
};

}  // namespace seer::worker
