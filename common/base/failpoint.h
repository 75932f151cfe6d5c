// Named places where tests make a process fail: SEER_FAILPOINT("checkpoint.before_commit").
// Armed by the environment: SEER_FAILPOINTS="name=kill" kills the process with SIGKILL there,
// "name=error" makes FailpointError return a status, "name=hang" stays there for ever,
// "name=kill@3" the third time; "name=slow@50" takes 50 ms each time.
// Compiled in only with -DSEER_FAILPOINTS=ON.
#pragma once

#include "absl/strings/string_view.h"

#include "absl/status/status.h"

namespace seer {

// Counts the visit; kills or hangs if armed so; returns UNAVAILABLE if armed with "error", else OK.
absl::Status HitFailpoint(absl::string_view name);

}  // namespace seer

#ifdef SEER_FAILPOINTS_ENABLED
#define SEER_FAILPOINT(name) ::seer::HitFailpoint(name).IgnoreError()
#define SEER_FAILPOINT_STATUS(name) ::seer::HitFailpoint(name)
#else
#define SEER_FAILPOINT(name) static_cast<void>(0)
#define SEER_FAILPOINT_STATUS(name) ::absl::OkStatus()
#endif
