#include "worker/trainer/collective_metrics.h"

#include <utility>

namespace seer::worker {

CollectiveMetrics::CollectiveMetrics(MetricsRegistry& registry, MetricLabels labels)
    : labels_(std::move(labels)),
      bytes_(registry.AddCounter("seer_collective_bytes_total",
                                 "This rank's part of the tensors of collectives.")),
      seconds_(registry.AddHistogram(
          "seer_collective_seconds",
          "A collective from its start until the host has waited for it; on GPUs the host waits "
          "for none.",
          {.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 30})) {}

void CollectiveMetrics::Entered(const std::string& group, CollectiveKind kind, int64_t bytes) {
  bytes_.Add(static_cast<double>(bytes), With(group, kind));
}

void CollectiveMetrics::Completed(const std::string& group, CollectiveKind kind, double seconds) {
  seconds_.Observe(seconds, With(group, kind));
}

MetricLabels CollectiveMetrics::With(const std::string& group, CollectiveKind kind) const {
  MetricLabels labels = labels_;
  labels["group"] = group;
  labels["op"] = CollectiveName(kind);
  return labels;
}

}  // namespace seer::worker
