// What a rank does, as its machine's agent saw it: seer.internal.v1.RankActivities. Values without
// behaviour; nothing of it is stored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace seer::coordinator {

// Collectives of one group of ranks, which all of them enter in the same order. A group is known by
// its name and its first rank.
struct GroupActivity {
  std::string name;  // "gradients", "norms", ...
  int first_rank = 0;
  int64_t entered = 0, completed = 0;
  std::string operation;  // of the newest
};

struct RankActivity {
  int64_t step = 0;        // that it works on, from 0
  int64_t steps_done = 0;  // in this attempt
  // "start", "data", "compute", "collective", "checkpoint", "host", "stopped".
  std::string doing;
  std::string detail;  // "all-reduce 812 of gradients"; of another: where
  double seconds = 0;  // since when, at `seen`
  // Of a step, exponential means.
  double input_seconds = 0, host_seconds = 0, compute_seconds = 0, wait_seconds = 0;
  std::vector<GroupActivity> groups;
  absl::Time time;      // of the report
  absl::Duration seen;  // the same, steady time
};

// Why the ranks of an attempt are looked at: it makes no step.
struct HangWatch {
  bool asked = false;                                   // agents were, and have not all answered
  absl::Duration asked_at = -absl::InfiniteDuration();  // steady time
  std::string said;                                     // what was found last, without times
};

}  // namespace seer::coordinator
