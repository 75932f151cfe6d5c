// Metrics of one process, declared once with name and help, exposed for Prometheus by MetricsHttp.
// Thread-safe; handles live as long as the registry. A series appears when it is first set: what
// has no source yet is absent, not zero.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace seer {

using MetricLabels = std::map<std::string, std::string>;

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double by = 1, const MetricLabels& labels = {}) = 0;
};
// One series of a gauge, for those that are set so often that finding them by their labels counts.
class GaugeSeries {
 public:
  virtual ~GaugeSeries() = default;
  virtual void Set(double value) = 0;
};
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value, const MetricLabels& labels = {}) = 0;
  // There from now on, with 0; not to be used once Remove was called for its labels.
  virtual std::unique_ptr<GaugeSeries> Series(const MetricLabels& labels) = 0;
  virtual void Remove(const MetricLabels& labels) = 0;  // the series ends (a job is over)
};
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value, const MetricLabels& labels = {}) = 0;
};

class MetricsRegistry {
 public:
  MetricsRegistry();  // with seer_build_info{version, commit}, which every process has
  ~MetricsRegistry();
  // Declaring a name twice gives the same handle. Counters end in "_total".
  Counter& AddCounter(const std::string& name, const std::string& help);
  Gauge& AddGauge(const std::string& name, const std::string& help);
  Histogram& AddHistogram(const std::string& name, const std::string& help,
                          std::vector<double> buckets);
  // The text exposition, as /metrics serves it.
  std::string Render() const;

 private:
  friend class MetricsHttp;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace seer
