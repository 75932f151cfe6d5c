#include "common/metrics/registry.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/text_serializer.h>

#include <utility>

#include "common/metrics/exposition.h"
#include "common/metrics/registry_impl.h"

namespace seer {
namespace {

class PrometheusCounter final : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Family<prometheus::Counter>& family) : family_(family) {}
  void Add(double by, const MetricLabels& labels) override { family_.Add(labels).Increment(by); }

 private:
  prometheus::Family<prometheus::Counter>& family_;
};

class PrometheusGaugeSeries final : public GaugeSeries {
 public:
  explicit PrometheusGaugeSeries(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Set(double value) override { gauge_.Set(value); }

 private:
  prometheus::Gauge& gauge_;
};

class PrometheusGauge final : public Gauge {
 public:
  explicit PrometheusGauge(prometheus::Family<prometheus::Gauge>& family) : family_(family) {}
  void Set(double value, const MetricLabels& labels) override { family_.Add(labels).Set(value); }
  std::unique_ptr<GaugeSeries> Series(const MetricLabels& labels) override {
    return std::make_unique<PrometheusGaugeSeries>(family_.Add(labels));
  }
  void Remove(const MetricLabels& labels) override {
    if (family_.Has(labels)) family_.Remove(&family_.Add(labels));
  }

 private:
  prometheus::Family<prometheus::Gauge>& family_;
};

class PrometheusHistogram final : public Histogram {
 public:
  PrometheusHistogram(prometheus::Family<prometheus::Histogram>& family,
                      std::vector<double> buckets)
      : family_(family), buckets_(std::move(buckets)) {}
  void Observe(double value, const MetricLabels& labels) override {
    family_.Add(labels, buckets_).Observe(value);
  }

 private:
  prometheus::Family<prometheus::Histogram>& family_;
  const std::vector<double> buckets_;
};

}  // namespace

std::vector<prometheus::MetricFamily> MetricsRegistry::Impl::Collect() const {
  std::vector<std::function<std::vector<MetricsText>()>> asked;
  {
    absl::MutexLock lock(&mu);
    asked = sources;
  }
  std::vector<prometheus::MetricFamily> families = registry->Collect();
  for (const auto& source : asked)
    for (const MetricsText& text : source()) MergeFamilies(ReadExposition(text), families);
  return families;
}

MetricsRegistry::MetricsRegistry() : impl_(std::make_shared<Impl>()) {
  AddGauge("seer_build_info", "1, by version and commit.")
      .Set(1, {{"version", SEER_VERSION}, {"commit", SEER_COMMIT}});
}
MetricsRegistry::~MetricsRegistry() = default;

Counter& MetricsRegistry::AddCounter(const std::string& name, const std::string& help) {
  absl::MutexLock lock(&impl_->mu);
  auto& slot = impl_->counters[name];
  if (!slot)
    slot = std::make_unique<PrometheusCounter>(
        prometheus::BuildCounter().Name(name).Help(help).Register(*impl_->registry));
  return *slot;
}

Gauge& MetricsRegistry::AddGauge(const std::string& name, const std::string& help) {
  absl::MutexLock lock(&impl_->mu);
  auto& slot = impl_->gauges[name];
  if (!slot)
    slot = std::make_unique<PrometheusGauge>(
        prometheus::BuildGauge().Name(name).Help(help).Register(*impl_->registry));
  return *slot;
}

Histogram& MetricsRegistry::AddHistogram(const std::string& name, const std::string& help,
                                         std::vector<double> buckets) {
  absl::MutexLock lock(&impl_->mu);
  auto& slot = impl_->histograms[name];
  if (!slot) {
    slot = std::make_unique<PrometheusHistogram>(
        prometheus::BuildHistogram().Name(name).Help(help).Register(*impl_->registry),
        std::move(buckets));
  }
  return *slot;
}

void MetricsRegistry::AddSource(std::function<std::vector<MetricsText>()> source) {
  absl::MutexLock lock(&impl_->mu);
  impl_->sources.push_back(std::move(source));
}

std::string MetricsRegistry::Render() const {
  return prometheus::TextSerializer().Serialize(impl_->Collect());
}

}  // namespace seer
