// The series of this machine's ranks, as part of the agent's /metrics: each trainer serves its own
// on the loopback, where nobody else reaches them, and says its port in a file. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/metrics/registry.h"

namespace seer::worker {

class RankMetrics {
 public:
  // A rank runs from here on. `labels`: of its series that have not got them. `port_file`: where
  // its trainer writes the port; none yet: it is left out.
  void Watch(int64_t key, MetricLabels labels, std::string port_file) ABSL_LOCKS_EXCLUDED(mu_);
  void Forget(int64_t key) ABSL_LOCKS_EXCLUDED(mu_);

  // What the ranks serve now; those that do not answer within a second are left out.
  std::vector<MetricsText> Texts() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Rank {
    MetricLabels labels;
    std::string port_file;
  };
  mutable absl::Mutex mu_;
  std::map<int64_t, Rank> ranks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace seer::worker
