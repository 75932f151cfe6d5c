// The series of one rank's collectives, told by its flight recorder: names and help of
// docs/metrics.md. Thread-safe, as the registry is.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/flight_recorder.h"
#include "common/metrics/registry.h"

namespace seer::worker {

class CollectiveMetrics final : public CollectiveObserver {
 public:
  // `registry` must outlive this. `labels`: of all series.
  CollectiveMetrics(MetricsRegistry& registry, MetricLabels labels);

  void Entered(const std::string& group, CollectiveKind kind, int64_t bytes) override;
  void Completed(const std::string& group, CollectiveKind kind, double seconds) override;

 private:
  MetricLabels With(const std::string& group, CollectiveKind kind) const;

  const MetricLabels labels_;
  Counter& bytes_;
  Histogram& seconds_;
};

}  // namespace seer::worker
