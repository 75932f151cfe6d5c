#include "coordinator/services/job_sources.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/spec/sweep.h"
#include "common/trace/tracer.h"

namespace seer::coordinator {
namespace {

constexpr size_t kKeptOfName = 50;  // a job's name has 63 characters, the time 12 and '-'

// It may be made later: nobody said that it cannot be.
bool MayWorkLater(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

std::string Why(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return absl::StrCat(detail ? absl::StrCat(detail->reason, ": ") : "", status.message());
}

}  // namespace

void JobSources::MakeDue() {
  std::vector<DueTime> times;
  std::vector<DueTrial> trials;
  const absl::Status read = runner_.Read([&](const Core& core, Store&) {
    times = core.DueTimes(clock_.Now());
    trials = core.DueTrials(clock_.Now());
    return absl::OkStatus();
  });
  if (!read.ok()) return;  // it stands by, or the store is away: the next round asks again
  for (const DueTime& due : times) Make(due);
  std::set<std::string> stopped;
  for (const DueTrial& due : trials)
    if (!stopped.contains(due.sweep) && !Make(due)) stopped.insert(due.sweep);
}

void JobSources::Make(const DueTime& due) {
  const Span span = Span::Begin("job of schedule", SpanKind::kInternal, {});
  const WithinTrace scope(span.context());
  command::ScheduleRan ran{due.schedule, due.time, "", ""};
  if (!due.running.empty() && due.overlap == Overlap::kSkip) {
    ran.message = absl::StrCat("job ", due.running, " of the time before has not ended");
  } else {
    if (!due.running.empty() && due.overlap == Overlap::kReplace) {
      const Reply cancelled = runner_.Execute(command::CancelJob{
          due.running, "", absl::StrCat("the schedule '", due.schedule, "' makes its next job")});
      if (MayWorkLater(cancelled.status)) return;
    }
    v1::JobSpec spec;
    spec.ParseFromString(due.spec);
    spec.mutable_metadata()->set_name(
        absl::StrCat(due.schedule.substr(0, kKeptOfName), "-",
                     absl::FormatTime("%Y%m%d%H%M", due.time, absl::UTCTimeZone())));
    const auto made = maker_.Make(
        spec, absl::StrCat("schedule/", due.schedule, "/", absl::ToUnixSeconds(due.time)),
        {.schedule = due.schedule});
    if (made.ok()) {
      ran.job = *made;
    } else if (MayWorkLater(made.status())) {
      LogWarn("schedule_waits", {{"schedule", due.schedule}, {"why", Why(made.status())}});
      return;
    } else {
      ran.message = Why(made.status());
    }
  }
  LogInfo("schedule_ran", {{"schedule", due.schedule}, {"job", ran.job}, {"message", ran.message}});
  runner_.Execute(std::move(ran));
}

bool JobSources::Make(const DueTrial& due) {
  const Span span = Span::Begin("job of sweep", SpanKind::kInternal, {});
  const WithinTrace scope(span.context());
  v1::Sweep sweep;
  sweep.ParseFromString(due.definition);
  const auto spec = TrialSpec(sweep, due.number);
  absl::Status made = spec.status();
  if (made.ok())
    made = maker_
               .Make(*spec, absl::StrCat("sweep/", due.id, "/", due.number),
                     {.sweep = due.sweep, .trial = due.number})
               .status();
  if (made.ok()) return true;
  if (MayWorkLater(made) || HasReason(made, reason::kSweepCancelled)) return false;
  LogWarn("trial_refused", {{"sweep", due.sweep}, {"trial", due.number}, {"why", Why(made)}});
  return runner_.Execute(command::TrialRefused{due.sweep, due.id, due.number, Why(made)})
      .status.ok();
}

}  // namespace seer::coordinator
