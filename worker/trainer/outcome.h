// How a rank ends, and by which exit code the agent and the coordinator learn of it. Pure.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace seer::worker {

// How the work of a rank ended well.
enum class Ended {
  kDone,
  kPaused,  // asked to stop; what there is to keep is kept
};

struct RankOutcome {
  int exit_code = 0;   // common/base/trainer_exit.h
  std::string reason;  // UPPER_SNAKE; the rank's last word
  std::string message;
};

// The exit code of a failure: decided in this one place.
RankOutcome OutcomeOf(const absl::Status& failure);
RankOutcome OutcomeOf(Ended ended);

}  // namespace seer::worker
