// Rules on a job's signals: whether one is beyond its bound for so long that something should be
// done. What is done stands in job_health.cc. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace seer::coordinator {

struct Progress;

// Same names and numbers as seer.v1.HealthSignal, HealthAction and HealthMode; a test compares
// them.
enum class HealthSignal {
  kLossOverLnK = 1,
  kPrototypesUsedRatio,
  kEntropyOverLnK,
  kFeatureStd,
  kSkippedRatio,
  kDataStallRatio,
  kGradientNorm,
  kStepSecondsRatio
};
enum class HealthAction { kAlert = 1, kPause, kRollBack };
enum class HealthMode { kOff = 1, kAdvise, kAct };

struct HealthRule {
  std::string name;
  HealthSignal signal = HealthSignal::kLossOverLnK;
  bool above = true;  // the bound is an upper one
  double bound = 0;
  int64_t for_steps = 1;
  int64_t after_step = 0;
  HealthAction action = HealthAction::kAlert;
  std::map<std::string, std::string> set;  // of the spec, with kRollBack
  bool operator==(const HealthRule&) const = default;
};

// What a rule found. See seer.v1.HealthFinding.
struct HealthFinding {
  std::string rule, message;
  int64_t step = 0;
  bool acted = false;
  absl::Time time;
  int64_t end_step = 0;  // 0: the signal is still beyond its bound
};

// Of one attempt. Not stored: after a restart of the coordinator rules count from the beginning.
struct HealthWatch {
  std::map<std::string, int64_t> since;  // rule -> step that its signal is beyond the bound since
  int64_t first_step = -1;               // that was seen; -1: none yet
  int64_t first_skipped = 0;             // refused steps by then
  double typical_step_seconds = 0;       // a running median: moves by 1 % towards each
};

// The signal's value now.
double SignalOf(HealthSignal signal, const Progress& progress, const HealthWatch& watch,
                double ln_k);
const char* SignalName(HealthSignal signal);  // "loss over ln K"

// Takes a report in; gives the indices of rules that are beyond their bound for long enough now.
// A signal that is not a number is beyond any bound.
std::vector<size_t> Watch(const std::vector<HealthRule>& rules, const Progress& progress,
                          double ln_k, HealthWatch& watch);

}  // namespace seer::coordinator
