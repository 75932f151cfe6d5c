// The batch script that starts an agent on each machine of a Slurm job. Thread-safe: pure
// functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/launch/agents.h"

namespace seer::client {

struct SlurmOptions {
  AgentOptions agents;             // count: nodes
  std::string worker;              // path of seer-worker on the machines
  std::string partition, account;  // empty: Slurm's defaults
  std::string cpus_per_node;       // empty: all that come with the node
  std::string time;                // as sbatch takes it: 2-00:00:00; empty: the partition's
  std::string interface;  // whose address other ranks are given, as ib0; empty: the node's in Slurm
  bool allow_loopback = false;  // all nodes are this machine
  int metrics_port = 0;         // of every agent, for all to read; 0: on the loopback, at any port
  std::string log_dir;          // for %x-%j.log; empty: the folder of the submission
  std::vector<std::string> sbatch;  // further options of sbatch, as --qos=high
};

// INVALID_ARGUMENT: names the flag.
absl::Status CheckSlurm(const SlurmOptions& options);

// The script. The agents of machines that Slurm takes away (preemption, the time limit) have their
// grace time for checkpoints; then the job goes back into the queue.
std::string SlurmScript(const SlurmOptions& options);

}  // namespace seer::client
