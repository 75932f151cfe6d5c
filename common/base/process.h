// What every program does around its main job:
// wait for SIGTERM or SIGINT, tell others its ports, print how it failed.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace seer {

// Blocks SIGTERM and SIGINT in this thread and those it starts, and ignores SIGPIPE.
// Call first thing in main().
void BlockTerminationSignals();

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
