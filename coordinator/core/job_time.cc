// Core's part about where jobs' time goes.
#include "absl/strings/string_view.h"
#include "common/base/reasons.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

// A running gang's time is in no class between two reports. kHangSteps without one look like a
// hang, if they take so long.
constexpr double kHangSeconds = 10;

bool Stood(absl::string_view stop_reason) {
  return stop_reason == reason::kNoProgress || stop_reason == reason::kHung;
}

TimeClass PausingClassOf(const Attempt& attempt) {
  return DevicesTaken(attempt) && !attempt.resizing ? TimeClass::kPreempt : TimeClass::kCheckpoint;
}

// Of what is not counted yet, by the job's state.
TimeClass ClassOf(const Job& job) {
  switch (job.state) {
    case JobState::kQueued:
      if (job.reason == reason::kGangResized) return TimeClass::kStart;
      return job.reason == reason::kPreempted || job.reason == reason::kWorkerDrained
                 ? TimeClass::kPreempt
                 : TimeClass::kQueue;
    case JobState::kRunning:
      return job.numbers.evaluation || job.ledger.training() ? TimeClass::kProductive
                                                             : TimeClass::kStart;
    case JobState::kPausing:
      return job.attempt ? PausingClassOf(*job.attempt) : TimeClass::kCheckpoint;
    case JobState::kRestarting:
      return Stood(job.reason) ? TimeClass::kHang : TimeClass::kStart;
    case JobState::kStarting:
      return TimeClass::kStart;
    default:
      return TimeClass::kIdle;
  }
}

}  // namespace

void Core::CountTime(Job& job, Moment now, Decision& out) {
  if (!Ended(job.state)) job.ledger.Count(ClassOf(job), now, out.counted);
}

void Core::CountLastTime(Job& job, const Attempt& attempt, const Outcome& outcome, Moment now,
                         Decision& out) {
  TimeClass last = ClassOf(job);
  if (job.state == JobState::kPausing) {
    last = PausingClassOf(attempt);
  } else if (Stood(attempt.stop_reason)) {
    last = TimeClass::kHang;
  } else if (last == TimeClass::kProductive && !job.numbers.evaluation) {
    last = outcome.verdict == Verdict::kSucceeded ? TimeClass::kCheckpoint : TimeClass::kRedo;
  }
  job.ledger.Count(last, now, out.counted);
}

TimeShares Core::TimeSharesOf(const Job& job, Moment now) {
  TimeShares shares = job.ledger.shares();
  if (Ended(job.state)) return shares;
  const double pending = job.ledger.Pending(now);
  const bool stands = job.state == JobState::kRunning && job.ledger.training() &&
                      pending > kHangSeconds && pending > kHangSteps * job.progress.step_seconds;
  shares[static_cast<size_t>(stands ? TimeClass::kHang : ClassOf(job))] += pending;
  return shares;
}

}  // namespace seer::coordinator
