// Asks before what cannot be undone.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/interrupt.h"

namespace seer::client {

// Whether the command that asks has a --dry-run, too, which is then named.
enum class DryRun { kNone, kOffered };

// OK if `yes`, or if the user says y on the terminal. `what`: "cancel job job_ab12cd34".
// INVALID_ARGUMENT: there is no terminal to ask on, and --yes was not said.
// FAILED_PRECONDITION: the answer was no. CANCELLED: Ctrl-C.
absl::Status Confirm(const std::string& what, bool yes, const Interrupt& interrupt,
                     DryRun dry_run = DryRun::kNone);

}  // namespace seer::client
