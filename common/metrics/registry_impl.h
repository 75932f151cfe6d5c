// What MetricsRegistry hides: the prometheus-cpp registry. Only this folder includes it.
#pragma once

#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/metrics/registry.h"

namespace seer {

struct MetricsRegistry::Impl {
  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  absl::Mutex mu;
  std::map<std::string, std::unique_ptr<Counter>> counters ABSL_GUARDED_BY(mu);
  std::map<std::string, std::unique_ptr<Gauge>> gauges ABSL_GUARDED_BY(mu);
  std::map<std::string, std::unique_ptr<Histogram>> histograms ABSL_GUARDED_BY(mu);
};

}  // namespace seer
