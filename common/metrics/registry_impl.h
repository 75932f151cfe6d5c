// What MetricsRegistry hides: the prometheus-cpp registry. Only this folder includes it.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/registry.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/metrics/registry.h"

namespace seer {

struct MetricsRegistry::Impl : prometheus::Collectable {
  // The registry's own families, then those of the sources.
  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mu);

  const std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  mutable absl::Mutex mu;
  std::vector<std::function<std::vector<MetricsText>()>> sources ABSL_GUARDED_BY(mu);
  std::map<std::string, std::unique_ptr<Counter>> counters ABSL_GUARDED_BY(mu);
  std::map<std::string, std::unique_ptr<Gauge>> gauges ABSL_GUARDED_BY(mu);
  std::map<std::string, std::unique_ptr<Histogram>> histograms ABSL_GUARDED_BY(mu);
};

}  // namespace seer
