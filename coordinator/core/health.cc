#include "coordinator/core/health.h"

#include <cmath>
#include <limits>

#include "coordinator/core/model.h"

namespace seer::coordinator {

const char* SignalName(HealthSignal signal) {
  static constexpr const char* kNames[] = {
      "loss over ln K", "share of prototypes used",    "assignment entropy over ln K",
      "feature std",    "share of refused steps",      "data stall",
      "gradient norm",  "step time over the usual one"};
  return kNames[static_cast<size_t>(signal) - 1];
}

double SignalOf(HealthSignal signal, const Progress& p, const HealthWatch& watch, double ln_k) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  switch (signal) {
    case HealthSignal::kLossOverLnK:
      return ln_k > 0 ? p.loss / ln_k : kNone;
    case HealthSignal::kPrototypesUsedRatio:
      return p.prototypes_used_ratio;
    case HealthSignal::kEntropyOverLnK:
      return ln_k > 0 ? p.assignment_entropy_nats / ln_k : kNone;
    case HealthSignal::kFeatureStd:
      return p.feature_std;
    case HealthSignal::kSkippedRatio: {
      const int64_t steps = p.step - watch.first_step;
      return steps > 0 ? static_cast<double>(p.skipped_steps - watch.first_skipped) /
                             static_cast<double>(steps)
                       : 0;
    }
    case HealthSignal::kDataStallRatio:
      return p.data_stall_ratio;
    case HealthSignal::kGradientNorm:
      return p.gradient_norm;
    case HealthSignal::kStepSecondsRatio:
      return watch.typical_step_seconds > 0 ? p.step_seconds / watch.typical_step_seconds : 1;
  }
  return kNone;
}

std::vector<size_t> Watch(const std::vector<HealthRule>& rules, const Progress& progress,
                          double ln_k, HealthWatch& watch) {
  if (watch.first_step < 0) {
    watch.first_step = progress.step;
    watch.first_skipped = progress.skipped_steps;
  }
  const double step_seconds = progress.step_seconds;
  if (step_seconds > 0) {
    double& typical = watch.typical_step_seconds;
    typical = typical > 0 ? typical * (step_seconds > typical ? 1.01 : 0.99) : step_seconds;
  }
  std::vector<size_t> found;
  for (size_t i = 0; i < rules.size(); ++i) {
    const HealthRule& rule = rules[i];
    const double value = SignalOf(rule.signal, progress, watch, ln_k);
    const bool within = rule.above ? value <= rule.bound : value >= rule.bound;  // false also: NaN
    if (within || progress.step <= rule.after_step) {
      watch.since.erase(rule.name);
      continue;
    }
    const int64_t since = watch.since.emplace(rule.name, progress.step).first->second;
    if (progress.step - since + 1 >= rule.for_steps) found.push_back(i);
  }
  return found;
}

}  // namespace seer::coordinator
