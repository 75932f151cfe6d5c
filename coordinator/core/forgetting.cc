// Core's part about what is forgotten: old events and request ids, and jobs that ended long ago
// with all that is theirs. A job's logs and curve go first, then its record: a crash in between
// leaves nothing behind.
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

// A tick, so that no commit becomes long.
constexpr int kEventBlocksATick = 4;
constexpr size_t kRequestsATick = 200;
constexpr size_t kJobsATick = 10;
constexpr int kLooksATick = 200;

}  // namespace

absl::Status Core::CheckEventsAfter(int64_t after) const {
  if (after == 0 || after + 1 >= first_event()) return absl::OkStatus();
  return Error(
             absl::StatusCode::kOutOfRange, reason::kOutOfRange,
             absl::StrCat("events up to number ", first_event() - 1,
                          " are no longer kept, and those after number ", after, " were asked for"))
      .Field("after_number")
      .Hint("read the jobs anew, then begin with the oldest event that is kept: after_number 0")
      .With("oldest", absl::StrCat(first_event()));
}

void Core::NoteRequest(const std::string& id, const std::string& job, Moment now, Decision& out) {
  const Request request{id, job, now.wall};
  requests_.Add(request);
  out.changes.requests.push_back(request);
}

// No longer than jobs: an id must not lead to a job that is gone.
absl::Time Core::RequestsBefore(Moment now) const {
  return now.wall - std::min(kKeepRequests, options_.keep_jobs);
}

bool Core::HasCheckpoints(const std::string& job) const {
  const auto it = checkpoints_.lower_bound({job, std::numeric_limits<int64_t>::min()});
  return it != checkpoints_.end() && it->first.first == job;
}

std::set<std::string> Core::NeededJobs() const {
  std::set<std::string> needed;
  const std::set<JobState> live = {JobState::kQueued,  JobState::kStarting, JobState::kRunning,
                                   JobState::kPausing, JobState::kPaused,   JobState::kRestarting};
  constexpr auto kAll = std::numeric_limits<int64_t>::max();
  for (const Job* job : index_.Page(live, kAll, std::numeric_limits<int>::max())) {
    needed.insert({job->numbers.eval_job, job->numbers.start_job});
    for (const After& after : job->numbers.after) needed.insert(after.job);
    if (job->attempt) needed.insert({job->attempt->restore_job, job->attempt->preempted_for});
  }
  for (const auto& [key, checkpoint] : checkpoints_) needed.insert(checkpoint.restored_job);
  for (const auto& [name, schedule] : schedules_) needed.insert(schedule.last_job);
  for (const auto& [name, sweep] : sweeps_) {
    if (sweep.state != SweepState::kRunning) continue;
    for (const SweepTrialRecord& trial : sweep.made) needed.insert(trial.job);
  }
  return needed;
}

// By its result a checkpoint may be the best: checkpoint.keepBest.
bool Core::ScoresCheckpoint(const Job& job) const {
  return job.state == JobState::kSucceeded && job.eval &&
         checkpoints_.contains({job.numbers.eval_job, job.numbers.eval_step});
}

bool Core::MayForget(const Job& job, const std::set<std::string>& needed, Moment now) const {
  return Ended(job.state) && job.ended < now.wall - options_.keep_jobs && !HasCheckpoints(job.id) &&
         !ScoresCheckpoint(job) && !needed.contains(job.id);
}

void Core::ForgetHistory(Moment now, Decision& out) {
  if (event_history_.Expire(now.wall - options_.keep_events, kEventBlocksATick))
    out.changes.first_event = event_history_.first();
  out.changes.removed_requests = requests_.Expire(RequestsBefore(now), kRequestsATick);
  ForgetSweeps(now, out);
  if (requests_.Has(RequestsBefore(now))) return;  // those that made the jobs go before them
  const absl::Time before = now.wall - options_.keep_jobs;
  std::optional<std::set<std::string>> needed;
  std::string first;
  for (int looks = 0; looks < kLooksATick && deleting_.size() < kJobsATick; ++looks) {
    const std::string id = ended_.Next(before);
    if (id.empty() || id == first) return;
    if (first.empty()) first = id;
    if (HasCheckpoints(id) || deleting_.contains(id)) continue;
    if (!needed) needed = NeededJobs();
    if (!MayForget(jobs_.at(id), *needed, now)) continue;
    deleting_.insert(id);
    out.effects.delete_history.push_back(id);
  }
}

void Core::On(const command::HistoryDeleted& c, Moment now, Decision& out) {
  if (deleting_.erase(c.job) == 0) return;  // of an earlier start: it is asked for again
  const auto it = jobs_.find(c.job);
  if (it == jobs_.end() || !MayForget(it->second, NeededJobs(), now)) return;
  ended_.Erase(c.job, it->second.ended);
  index_.Remove(it->second);
  jobs_.erase(it);
  profiles_.erase(c.job);
  lacking_.erase(c.job);
  keeping_.erase(c.job);
  followers_.erase(c.job);
  out.changes.removed_jobs.insert(c.job);
}

void Core::ForgetSweeps(Moment now, Decision& out) {
  for (auto it = sweeps_.begin();
       it != sweeps_.end() && out.changes.removed_sweeps.size() < kJobsATick;) {
    const Sweep& sweep = it->second;
    bool old = sweep.state != SweepState::kRunning && sweep.ended < now.wall - options_.keep_jobs;
    for (size_t i = 0; old && i < sweep.made.size(); ++i) old = !jobs_.contains(sweep.made[i].job);
    if (!old) {
      ++it;
      continue;
    }
    out.changes.removed_sweeps.insert(sweep.name);
    out.changes.sweeps.erase(sweep.name);
    it = sweeps_.erase(it);
  }
}

}  // namespace seer::coordinator
