// Agents that a batch system starts: what Kubernetes and Slurm are asked for alike.
// Thread-safe: values and pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace seer::client {

struct AgentOptions {
  std::string name = "seer-agents";  // of the batch system's job
  int count = 1;                     // agents, one a machine or pod
  int gpus = 0;                      // a machine; 0: it computes on CPUs
  int devices = 1;                   // ranks a machine without GPUs
  std::string coordinator;           // HOST:PORT as agents reach it, of several all with commas
  std::vector<std::string> labels;   // KEY=VALUE
  std::vector<std::string> worker_flags;    // further ones of seer-worker
  absl::Duration grace = absl::Minutes(2);  // for checkpoints, when a machine is taken away
};

// How an agent exits that was told to end and has: batch systems then start it again elsewhere.
// sysexits.h calls it EX_TEMPFAIL.
inline constexpr int kDrainedExitCode = 75;
// To kill what is left after the grace time, and for the farewell.
inline constexpr absl::Duration kAfterGrace = absl::Seconds(30);

// INVALID_ARGUMENT: names the flag. What batch systems say about names is said here.
absl::Status CheckAgents(const AgentOptions& options);
// That the coordinator is not on a loopback address, which agents elsewhere have for themselves.
// INVALID_ARGUMENT. `otherwise`: what else may be done about it, behind the hint.
absl::Status CheckReachable(const AgentOptions& options, absl::string_view otherwise = "");

// Ranks of one machine.
int DevicesOf(const AgentOptions& options);
// The flags of seer-worker that are the same on every machine.
std::vector<std::string> WorkerFlags(const AgentOptions& options);

}  // namespace seer::client
