// What the trials of a sweep are: a pure function of its definition and the trial's number.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/v1/sweeps.pb.h"

namespace seer {

inline constexpr int kMaxSweepTrials = 1000;

// With defaults; `trials` of a grid is set. INVALID_ARGUMENT: its name, parameters or numbers break
// a rule, or a trial's spec, with defaults, does: names the trial's values.
absl::StatusOr<v1::Sweep> CompleteSweep(const v1::Sweep& sweep);

// The values of trial `number`, 1 to `trials`, of a complete sweep. Of random ones each is drawn by
// Philox, keyed by the seed, the trial and the parameter's place.
std::map<std::string, std::string> TrialValues(const v1::Sweep& sweep, int number);

// Its spec, without defaults, called "{sweep}-{number}".
absl::StatusOr<v1::JobSpec> TrialSpec(const v1::Sweep& sweep, int number);

}  // namespace seer
