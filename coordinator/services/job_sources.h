// Makes the jobs of schedules and sweeps when they are due. Owns one thread, which asks the core
// again and again, and makes jobs in the way of CreateJob. What is due stands in the database, and
// each job has a request id of its own: a crash makes it neither twice nor never.
#pragma once

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/job_maker.h"

namespace seer::coordinator {

class JobSources {
 public:
  // All must outlive this, and the runner's loop must run until it is gone. `period`: between two
  // rounds.
  JobSources(CoreRunner& runner, Clock& clock, JobMaker& maker, absl::Duration period)
      : runner_(runner),
        clock_(clock),
        maker_(maker),
        thread_("job-sources", period, period, [this] { MakeDue(); }) {}

 private:
  void MakeDue();
  void Make(const DueTime& due);
  // False: no more of its sweep in this round.
  bool Make(const DueTrial& due);

  CoreRunner& runner_;
  Clock& clock_;
  JobMaker& maker_;
  PeriodicThread thread_;
};

}  // namespace seer::coordinator
