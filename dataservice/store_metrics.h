// Metrics of the pools' cloud storage: names and help texts, declared once. Thread-safe. A pool on
// a local disk leaves them absent.
#pragma once

#include <string>

#include "common/metrics/registry.h"
#include "common/objectstore/retrying_store.h"

namespace seer::dataservice {

class StoreMetrics final : public StoreObserver {
 public:
  explicit StoreMetrics(MetricsRegistry& r)
      : requests_(r.AddCounter("seer_data_store_requests_total",
                               "Requests to cloud storage, by operation and how they ended.")),
        retries_(r.AddCounter("seer_data_store_retries_total",
                              "Waits before another attempt, by operation.")),
        backoff_(r.AddCounter("seer_data_backoff_seconds_total",
                              "Time spent waiting before another attempt.")),
        hedges_(r.AddCounter("seer_data_store_hedges_total",
                             "Second reads because the first was slow, by outcome.")),
        breaker_(r.AddGauge("seer_data_store_breaker_state",
                            "0: calls go through; 1: one at a time; 2: none for now.")) {}

  void OnAnswer(absl::string_view operation, absl::StatusCode code) override {
    requests_.Add(
        1, {{"operation", std::string(operation)}, {"code", absl::StatusCodeToString(code)}});
  }
  void OnRetry(absl::string_view operation, absl::Duration wait) override {
    retries_.Add(1, {{"operation", std::string(operation)}});
    backoff_.Add(absl::ToDoubleSeconds(wait));
  }
  void OnHedge(bool won) override { hedges_.Add(1, {{"outcome", won ? "won" : "lost"}}); }
  void OnBreaker(CircuitBreaker::State state) override { breaker_.Set(static_cast<double>(state)); }

 private:
  Counter& requests_;
  Counter& retries_;
  Counter& backoff_;
  Counter& hedges_;
  Gauge& breaker_;
};

}  // namespace seer::dataservice
