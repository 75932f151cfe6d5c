// How programs that end by themselves exit (docs/errors.md). One place.
#pragma once

#include "absl/status/status.h"

namespace seer {

inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitUsage = 2;        // also: an invalid configuration
inline constexpr int kExitInterrupted = 3;  // the job goes on
inline constexpr int kExitNotAllowed = 4;
inline constexpr int kExitUnreachable = 5;  // or a deadline passed
inline constexpr int kExitConflict = 6;     // or a quota

int ExitCodeOf(const absl::Status& status);

}  // namespace seer
