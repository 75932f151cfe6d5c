// One spec with many values of a few of its fields, a job for each. A value; see seer.v1.Sweep.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace seer::coordinator {

// Same names and numbers as seer.v1.SweepState.
enum class SweepState { kRunning = 1, kDone, kExhausted, kCancelled };

struct SweepTrialRecord {
  std::string job;      // its id; empty: it was refused
  std::string message;  // why it was refused
};

struct Sweep {
  std::string name;
  std::string id;          // another one for each sweep that ever had the name
  std::string definition;  // serialized seer.v1.Sweep, what the client may say of it
  int trials = 0;
  int parallel = 1;                  // that have not ended at a time
  double budget_device_seconds = 0;  // of all trials; 0: no limit
  SweepState state = SweepState::kRunning;
  std::string message;
  absl::Time created, ended = absl::InfinitePast();
  std::vector<SweepTrialRecord> made;  // trial 1, 2, ...
};

// A trial that is to be made now.
struct DueTrial {
  std::string sweep, id;
  std::string definition;
  int number = 0;  // from 1
};

}  // namespace seer::coordinator
