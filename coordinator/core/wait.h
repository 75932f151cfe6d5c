// Why a job that could run does not: what the scheduler found in its last pass. A value.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "coordinator/core/model.h"

namespace seer::coordinator {

enum class WaitReason {
  kNone,        // it starts
  kDevices,     // too few are free
  kBehind,      // another gang comes first
  kQuota,       // of its queue
  kQueueLimit,  // it wants more than its queue ever allows
  kCapacity,    // all workers together have too few
  kLabels,      // no worker has what the selector asks for
  kTopology,    // no workers that share what its groups must share have enough
  kNoWorkers,   // none has registered
  kBackoff,     // it failed a moment ago
  kDeletion,    // checkpoints that it would write anew are being deleted
  kPreempting,  // others are giving their devices up for it
  kRecovering,  // the coordinator has restarted and waits for its agents
  kAfter,       // jobs that it waits for have not ended
};

struct Wait {
  WaitReason reason = WaitReason::kNone;
  std::string ahead = {};  // id of the job that comes first, of kBehind and kAfter
  int free = 0;            // devices that it may use, of kDevices
  absl::Duration ready_in = absl::ZeroDuration();  // of kBackoff
  // But for the time, which always changes.
  bool operator==(const Wait& other) const {
    return reason == other.reason && ahead == other.ahead && free == other.free;
  }
};

// "1 rank", "2 to 4 ranks and 1 spare": what a job wants, in ranks or devices.
std::string WantedText(const JobNumbers& numbers, absl::string_view unit);

// "devices", "behind" ...: as seer.v1.Wait and the metrics have it.
const char* WaitReasonName(WaitReason reason);

}  // namespace seer::coordinator
