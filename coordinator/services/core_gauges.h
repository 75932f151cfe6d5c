// The gauges that say what the core holds: jobs, queues, workers. Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "coordinator/core/core.h"
#include "coordinator/metrics.h"

namespace seer::coordinator {

class CoreGauges {
 public:
  explicit CoreGauges(CoordinatorMetrics& metrics) : metrics_(metrics) {}  // which must outlive it

  // Sets all of them, and ends the series of what is no longer there.
  void Measure(const Core& core, Moment now);

 private:
  void MeasureJobs(const Core& core, Moment now);
  void MeasureSteps(const Job& job, Moment now);  // of one that runs
  void MeasureQueues(const Core& core);
  void MeasureWorkers(const Core& core, absl::Time now);

  // Of one worker: there are thousands, and each is set once a heartbeat period.
  struct WorkerSeries {
    std::unique_ptr<GaugeSeries> up, cordoned, heartbeat_age;
  };

  CoordinatorMetrics& metrics_;
  std::map<std::string, WorkerSeries> workers_;  // those with series, as all of these
  std::set<std::string> running_;
  std::map<std::string, MetricLabels> info_;  // job id -> labels of its seer_job_info
  std::set<std::string> queues_;
  std::set<std::pair<std::string, std::string>> waiting_;  // queue and reason
};

}  // namespace seer::coordinator
