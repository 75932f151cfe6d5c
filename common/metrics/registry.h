// Metrics of one process, declared once with name and help, exposed for Prometheus by MetricsHttp.
// Thread-safe; handles live as long as the registry. A series appears when it is first set: what
// has no source yet is absent, not zero.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace seer {

using MetricLabels = std::map<std::string, std::string>;

// What another process serves as /metrics, and labels for its series that have not got them.
struct MetricsText {
  std::string text;
  MetricLabels labels;
};

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
  // Series of other processes, which become part of this one's. `source` is called at each scrape,
  // by any thread, as long as the registry lives.
  void AddSource(std::function<std::vector<MetricsText>()> source);
  // The text exposition, as /metrics serves it.
  std::string Render() const;

 private:
  friend class MetricsHttp;
  struct Impl;
  std::shared_ptr<Impl> impl_;  // which MetricsHttp serves
};

}  // namespace seer
