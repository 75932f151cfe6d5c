// Drops the logs of jobs that ended long ago: the one place that says how long they are kept. Owns
// one thread, which asks the core; only the coordinator that leads drops any.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "coordinator/metrics.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/log_store.h"

namespace seer::coordinator {

// "30d", "12h" and the like; "0": logs go as their job ends; "forever": they never do
// (absl::InfiniteDuration()). INVALID_ARGUMENT at keep-logs.
absl::StatusOr<absl::Duration> ParseKeepLogs(const std::string& text);

class LogRetention {
 public:
  // All must outlive this. Looks every `period`, the first time after one.
  LogRetention(CoreRunner& runner, LogStore& logs, Clock& clock, CoordinatorMetrics& metrics,
               absl::Duration keep, absl::Duration period);

  void Look();  // what the thread does each period

 private:
  CoreRunner& runner_;
  LogStore& logs_;
  Clock& clock_;
  CoordinatorMetrics& metrics_;
  const absl::Duration keep_;
  PeriodicThread thread_;
};

}  // namespace seer::coordinator
