// Core's part about schedules: what clients ask for, and which times are due.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "coordinator/core/core.h"
#include "coordinator/core/cron.h"
#include "coordinator/core/etag.h"
#include "coordinator/core/find_named.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {

absl::StatusOr<const JobSchedule*> Core::FindSchedule(const std::string& name) const {
  return FindNamed(schedules_, name, "schedule", reason::kScheduleNotFound,
                   "`seer schedule list` shows the schedules, `seer schedule create` makes one");
}

std::optional<absl::Time> Core::NextTime(const JobSchedule& schedule) const {
  if (schedule.suspended) return std::nullopt;
  return crons_.at(schedule.name).Next(std::max(schedule.since, schedule.last));
}

std::vector<DueTime> Core::DueTimes(absl::Time now) const {
  std::vector<DueTime> due;
  for (const auto& [name, schedule] : schedules_) {
    if (schedule.suspended) continue;
    const auto time = crons_.at(name).LastDue(std::max(schedule.since, schedule.last), now);
    if (!time) continue;
    const auto last = jobs_.find(schedule.last_job);
    const bool running = last != jobs_.end() && !Ended(last->second.state);
    due.push_back({name, *time, schedule.spec, schedule.overlap,
                   running ? schedule.last_job : std::string()});
  }
  return due;
}

void Core::On(const command::CreateSchedule& c, Moment now, Decision& out) {
  auto cron = Cron::Parse(c.schedule.cron);
  if (out.reply.status = cron.status(); !cron.ok()) return;
  const std::string& name = c.schedule.name;
  if (schedules_.contains(name)) {
    out.reply.status = Error(absl::StatusCode::kAlreadyExists, reason::kScheduleExists,
                             absl::StrCat("there is a schedule '", name, "' already"))
                           .Field("schedule.name")
                           .Hint(absl::StrCat("`seer schedule set ", name, "` changes it"))
                           .With("schedule", name);
    return;
  }
  JobSchedule schedule = c.schedule;
  schedule.since = now.wall;
  schedule.changes = 1;
  crons_.insert_or_assign(name, *std::move(cron));
  schedules_[name] = std::move(schedule);
  out.changes.schedules.insert(name);
}

void Core::On(const command::UpdateSchedule& c, Moment now, Decision& out) {
  const auto found = FindSchedule(c.schedule.name);
  if (out.reply.status = found.status(); !found.ok()) return;
  JobSchedule& schedule = schedules_.at((*found)->name);
  out.reply.status = CheckEtag("schedule", schedule.name, c.changes, schedule.changes);
  if (!out.reply.status.ok()) return;
  auto cron = Cron::Parse(c.schedule.cron);
  if (out.reply.status = cron.status(); !cron.ok()) return;
  // What would have been due before is not made up for.
  if (c.schedule.cron != schedule.cron || (schedule.suspended && !c.schedule.suspended))
    schedule.since = now.wall;
  // Of a clock that was ahead: the change is the way out.
  schedule.last = std::min(schedule.last, now.wall);
  schedule.cron = c.schedule.cron;
  schedule.spec = c.schedule.spec;
  schedule.overlap = c.schedule.overlap;
  schedule.suspended = c.schedule.suspended;
  ++schedule.changes;
  crons_.insert_or_assign(schedule.name, *std::move(cron));
  out.changes.schedules.insert(schedule.name);
}

void Core::On(const command::DeleteSchedule& c, Moment, Decision& out) {
  const auto found = FindSchedule(c.name);
  if (out.reply.status = found.status(); !found.ok()) return;
  const std::string name = (*found)->name;
  out.reply.status = CheckEtag("schedule", name, c.changes, (*found)->changes);
  if (!out.reply.status.ok()) return;
  schedules_.erase(name);
  crons_.erase(name);
  out.changes.removed_schedules.insert(name);
}

void Core::On(const command::ScheduleRan& c, Moment, Decision& out) {
  const auto it = schedules_.find(c.schedule);
  if (it == schedules_.end() || c.time <= it->second.last) return;
  JobSchedule& schedule = it->second;
  schedule.last = c.time;
  if (!c.job.empty()) schedule.last_job = c.job;
  schedule.last_message = c.message;
  out.changes.schedules.insert(schedule.name);
}

}  // namespace seer::coordinator
