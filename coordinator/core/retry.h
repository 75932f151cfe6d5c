// What to do when a gang has ended: decided by how its ranks exited, in this one place. Pure.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "coordinator/core/model.h"

namespace seer::coordinator {

enum class Verdict { kSucceeded, kPaused, kRetry, kFail };

struct Outcome {
  Verdict verdict = Verdict::kRetry;
  int rank = -1;        // the culprit; -1: none
  std::string reason;   // UPPER_SNAKE
  std::string message;  // names the rank and its last word
};

// All ranks of `attempt` have exited.
Outcome Judge(const Attempt& attempt);

// The rank has exited, neither done nor paused.
bool Failed(const Rank& rank);

// "lost", "signal", "out_of_memory" ...: the class that restarts are counted by.
const char* ErrorClass(int exit_code);

// How long a job waits before its next attempt after `fruitless` failures in a row:
// 0.5 s doubling to 30 s.
absl::Duration Backoff(int fruitless);

}  // namespace seer::coordinator
