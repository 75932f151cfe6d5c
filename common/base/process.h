// What every program does around its main job:
// wait for SIGTERM or SIGINT, tell others its ports, print how it failed.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace seer {

// First thing in the main() of what waits for SIGTERM or SIGINT: blocks both in this thread and
// those it starts, ignores SIGPIPE, and skips lock order checks.
void BeginProgram();

// Distributions build Abseil with assertions: each absl::Mutex, gRPC's too, then looks for cycles
// in the order in which locks are taken, behind one lock of its own, which took a fifth of a
// coordinator of 10,000 agents. Release builds do without; in others nothing here does anything.
void SkipLockOrderChecks();

// Waits for SIGTERM or SIGINT and returns its number.
int WaitForTermination();

// Whether SIGTERM or SIGINT has come since; where nobody waits for them.
bool TerminationAsked();

// This machine's host name; empty: it has none.
std::string HostName();

// Writes "text\n" to `path` in one piece (beside it, then renamed),
// so that a reader sees all of it or nothing.
absl::Status WriteFileAtomically(const std::string& path, const std::string& text);

// "error: …" with field and hint on stderr. Returns 1, the exit code.
int FailProgram(const absl::Status& status);

}  // namespace seer
