// How `seer` exits: as every program, and, where it waits for a job, by how that ended.
#pragma once

#include "common/base/exit_code.h"

namespace seer::client {

// wait, --wait, --follow
inline constexpr int kExitFailed = 100;
inline constexpr int kExitTimeUp = 101;
inline constexpr int kExitNotFound = 102;
inline constexpr int kExitCancelled = 103;
inline constexpr int kExitPreempted = 104;  // and scheduling.onPreemption is STOP

}  // namespace seer::client
