// The worker agent: offers this machine's devices to the coordinator and runs the ranks it is
// given. Thread-safe. The destructor stops its ranks as a pause does (checkpoint first), kills what
// is left after the grace time, and waits a moment for the coordinator to know.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/metrics/registry.h"
#include "common/rpc/security.h"

namespace seer::worker {

struct AgentConfig {
  std::string coordinator;                    // host:port; of several, all with commas
  SecurityOptions security;                   // its calls and those of its trainers
  std::string name;                           // stable over restarts; default: the host's name
  int devices = 1;                            // ranks this machine may hold
  std::string device_kind = "cpu";            // or "cuda": rank by rank, GPUs 0 to devices − 1
  double peak_flops = 0;                      // of one device, in a second; 0: not known
  std::string address = "127.0.0.1";          // where other ranks reach it
  std::map<std::string, std::string> labels;  // of the machine, for jobs to choose by
  std::string work_dir;                       // assignments of ranks; of this agent alone
  std::string trainer;                        // path of seer-trainer
  std::string otlp_endpoint;                  // of its trainers; empty: the environment's
  absl::Duration grace = absl::Seconds(10);   // at shutdown
  // Where the kernel says what is wrong with GPUs, empty: it is not read; and which there are.
  std::string kernel_log = "/dev/kmsg";
  std::string gpus = "/proc/driver/nvidia/gpus";
};

class Agent {
 public:
  // INVALID_ARGUMENT: the configuration. The coordinator need not be there yet.
  static absl::StatusOr<std::unique_ptr<Agent>> Start(const AgentConfig& config,
                                                      MetricsRegistry& metrics);
  virtual ~Agent() = default;
};

}  // namespace seer::worker
