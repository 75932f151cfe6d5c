// Runs another program and reads what it prints.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/interrupt.h"

namespace seer::client {

// What `command` writes to stdout; `input` is its stdin, its stderr is this process's. `command[0]`
// is a path, or a name that is looked for in PATH. NOT_FOUND: there is no such program.
// CANCELLED: Ctrl-C came first, and it was sent SIGTERM. INTERNAL: it failed; says how.
absl::StatusOr<std::string> RunProgram(std::vector<std::string> command, const std::string& input,
                                       const Interrupt& interrupt);

}  // namespace seer::client
