// What to do when a gang has ended: decided by how its ranks exited, in this one place. Pure.
// How one rank's exit is read stands in failure.h.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "coordinator/core/failure.h"
#include "coordinator/core/model.h"

namespace seer::coordinator {

enum class Verdict { kSucceeded, kPaused, kRetry, kFail };

struct Outcome {
  Verdict verdict = Verdict::kRetry;
  int rank = -1;                               // the culprit; -1: none
  std::string reason;                          // UPPER_SNAKE
  std::string message;                         // names the rank and its last word
  FailureClass failure = FailureClass::kNone;  // kNone: nobody's fault
  std::string sign;                            // of the class
};

// All ranks of `attempt` have exited. The culprit is the rank with the largest blame, and of those
// the first that exited; a rank that was killed by us is never one while there is another.
Outcome Judge(const Attempt& attempt);

// The rank has exited, neither done nor paused.
bool Failed(const Rank& rank);

// What follows from a failure.
struct RetryPolicy {
  FailureClass failure = FailureClass::kUnknown;
  // Attempts that may fail like this in a row without a new checkpoint before the job is given up;
  // 1: at once; none: failure.maxRestarts alone decides.
  std::optional<int> failures;
  absl::Duration first_backoff, max_backoff;  // doubles from failure to failure
  bool elsewhere = false;  // the next attempts are placed on other workers, if those have room
  bool machine = false;    // counts against the worker
  const char* next_step = "";
};

// kNone: that of kUnknown.
const RetryPolicy& PolicyOf(FailureClass failure);

// How long a job waits before its next attempt after `fruitless` failures in a row.
absl::Duration Backoff(const RetryPolicy& policy, int fruitless);

}  // namespace seer::coordinator
