// A whole cluster on this machine: coordinator, data services and workers as background processes,
// their state below one folder. Not thread-safe; two callers at once are kept apart by a lock file.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/context.h"
#include "client/interrupt.h"

namespace seer::client {

struct ClusterOptions {
  std::string dir;  // empty: ${SEER_HOME:-~/.local/share/seer}/cluster
  int workers = 2;
  int dataservices = 1;
};

struct ClusterProcess {
  std::string name;  // "coordinator", "dataservice-0", "worker-1"
  int pid = 0;
  bool running = false;
  std::vector<std::string> ports;  // that it serves on; empty: not known
  std::string log;
};

class LocalCluster {
 public:
  explicit LocalCluster(const ClusterOptions& options);
  // Starts what does not run and waits until it serves. Says on stderr what it starts. Idempotent.
  // What fails to start is reported with the last lines of its log. CANCELLED: Ctrl-C; what this
  // call had started is stopped again.
  absl::StatusOr<Context> Up(Interrupt& interrupt);
  // SIGTERM, and SIGKILL to what is left after 12 s. Data stays. CANCELLED: Ctrl-C while another
  // command held the lock.
  absl::Status Down(Interrupt& interrupt);
  // Removes all that it kept, and its context. It must be down.
  absl::Status Purge();
  std::vector<ClusterProcess> Status() const;
  std::string Dashboard() const;  // its URL; empty: the coordinator does not run
  const std::string& dir() const { return dir_; }

 private:
  absl::StatusOr<Context> StartAll(Interrupt& interrupt);
  absl::Status StartProcess(const std::string& name, const std::vector<std::string>& command,
                            Interrupt& interrupt);
  // The lock's descriptor, held until it is closed: one `up` or `down` at a time.
  absl::StatusOr<int> Lock(Interrupt& interrupt) const;
  void Stop(std::vector<ClusterProcess> processes);
  // What a process says it serves on, in its order; 0: not on that.
  std::vector<std::string> Ports(const std::string& name) const;
  absl::StatusOr<std::string> Port(const std::string& name, size_t index = 0) const;
  std::string ListenAddress(const std::string& name) const;  // the port it had before, or any

  const ClusterOptions options_;
  std::string dir_;
  std::vector<std::string> started_;  // by this object
};

}  // namespace seer::client
