// Core's part about elastic gangs: what a job keeps from one attempt to the next, how gangs grow,
// and their spares.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

// An elastic gang that lost ranks begins with fewer only after so long: a machine whose agent is
// started again is back by then.
constexpr absl::Duration kShrinkGrace = absl::Seconds(3);

}  // namespace

void Core::KeepDevices(Job& job, const Attempt& attempt, Moment now) {
  KeptDevices& kept = job.kept.emplace();
  for (const Rank& rank : attempt.ranks)
    if (rank.exit_code != kExitDone) kept.workers.push_back(rank.worker);
  kept.workers.insert(kept.workers.end(), attempt.spares.begin(), attempt.spares.end());
  kept.since = attempt.holds_since;
  kept.ranks = static_cast<int>(attempt.ranks.size());
  kept.until = now.steady + options_.keep_devices;
  kept.shrinks_at = now.steady + kShrinkGrace;
  keeping_.insert(job.id);
}

void Core::ForgetKeptDevices(Moment now, Decision& out) {
  for (auto it = keeping_.begin(); it != keeping_.end();) {
    Job& job = jobs_.at(*it);
    // One that waits for a deletion may wait for long.
    const bool held = DeletesBeyond(job.id, NewestCheckpoint(job.id));
    if (job.kept && now.steady < job.kept->until && !held) {
      ++it;
      continue;
    }
    if (std::exchange(job.kept, std::nullopt)) Changed(job, out);
    it = keeping_.erase(it);
  }
}

int64_t Core::DevicesOf(const Job& job) const {
  if (job.attempt) return DevicesHeld(*job.attempt);
  if (!job.kept) return 0;
  return std::count_if(job.kept->workers.begin(), job.kept->workers.end(),
                       [this](const std::string& name) {
                         const auto it = workers_.find(name);
                         return it != workers_.end() && CanBeGivenWork(it->second);
                       });
}

void Core::NoteLack(const Job& job) {
  const bool lacks =
      job.attempt && (static_cast<int>(job.attempt->ranks.size()) < job.numbers.shape.ranks ||
                      static_cast<int>(job.attempt->spares.size()) < job.numbers.spares);
  if (lacks) {
    lacking_.insert(job.id);
  } else {
    lacking_.erase(job.id);
  }
}

std::optional<WaitingGang> Core::WishOf(const Job& job, Moment now) const {
  const Attempt& attempt = *job.attempt;
  const bool whole = std::all_of(attempt.ranks.begin(), attempt.ranks.end(),
                                 [](const Rank& r) { return r.state != RankState::kExited; });
  if (job.state != JobState::kRunning || attempt.stopping || job.cancelling || !whole)
    return std::nullopt;
  WaitingGang wish;
  wish.shape = job.numbers.shape;
  const int ranks = static_cast<int>(attempt.ranks.size());
  if (ranks == wish.shape.ranks) {
    wish.spares = job.numbers.spares - static_cast<int>(attempt.spares.size());
    return wish;
  }
  if (now.wall < job.resized + options_.grow_every) return std::nullopt;
  for (const int more : job.numbers.smaller)
    if (more > ranks) wish.smaller.push_back(more);
  wish.ready_in = attempt.grows_at ? std::max(*attempt.grows_at - now.steady, absl::ZeroDuration())
                                   : options_.grow_after;
  return wish;
}

void Core::Grow(Job& job, const GangGrowth& growth, const std::vector<std::string>& more,
                Moment now, Decision& out) {
  Attempt& attempt = *job.attempt;
  if (!growth.ready) {
    if (!attempt.grows_at) attempt.grows_at = now.steady + options_.grow_after;
    return;
  }
  for (const std::string& worker : more) {
    attempt.spares.push_back(worker);
    attempts_on_[worker].insert(attempt.id);
  }
  Changed(job, out);
  const size_t ranks = attempt.ranks.size();
  if (growth.ranks == static_cast<int>(ranks)) return NoteLack(job);
  attempt.resizing = true;
  job.resized = now.wall;
  TakeDevices(job, "gang_resized", reason::kGangResized,
              absl::StrCat("goes on with ", growth.ranks, " ranks instead of ", ranks), now, out);
}

void Core::DropSpares(const std::string& worker, Decision& out) {
  for (Job* job : LiveJobsOn(worker)) {
    Attempt& attempt = *job->attempt;
    if (std::erase(attempt.spares, worker) == 0) continue;
    const bool ranks_here = std::any_of(attempt.ranks.begin(), attempt.ranks.end(),
                                        [&](const Rank& rank) { return rank.worker == worker; });
    if (!ranks_here) ForgetAttemptOn(worker, attempt.id);
    NoteLack(*job);
    Changed(*job, out);
  }
}

void Core::ForgetAttemptOn(const std::string& worker, int64_t attempt_id) {
  const auto it = attempts_on_.find(worker);
  if (it != attempts_on_.end() && it->second.erase(attempt_id) > 0 && it->second.empty())
    attempts_on_.erase(it);
}

}  // namespace seer::coordinator
