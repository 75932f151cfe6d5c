// Core's part about failures: what follows from one, and workers that nothing is placed on.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "coordinator/core/core.h"
#include "coordinator/core/find_named.h"
#include "coordinator/core/retry.h"

namespace seer::coordinator {
namespace {

constexpr absl::Duration kAvoidFor = absl::Hours(1);
constexpr size_t kMaxAvoided = 16;  // workers; the oldest goes first

}  // namespace

absl::StatusOr<const Worker*> Core::FindWorker(const std::string& name) const {
  return FindNamed(workers_, name, "worker", reason::kWorkerNotFound,
                   "`seer worker list` shows the workers");
}

void Core::NoteFailure(Job& job, const Attempt& attempt, const Outcome& outcome, Moment now,
                       Decision& out) {
  Failure failure;
  failure.failure = outcome.failure;
  failure.sign = outcome.sign;
  failure.message = outcome.message;
  failure.attempt = attempt.number;
  failure.rank = outcome.rank;
  failure.worker = attempt.ranks[static_cast<size_t>(outcome.rank)].worker;
  failure.time = now.wall;
  Event& ended = out.changes.events.back();
  ended.failure = outcome.failure;
  absl::StrAppend(&ended.message, " (", FailureClassName(outcome.failure), ": ", outcome.sign, ")");
  const bool further = NewestCheckpoint(job.id) > attempt.restore_step;
  const bool same = !further && job.failure && job.failure->failure == failure.failure;
  job.same_class = same ? job.same_class + 1 : 1;
  job.failure = failure;

  const RetryPolicy& policy = PolicyOf(outcome.failure);
  if (policy.elsewhere) {
    std::erase_if(job.avoided, [&](const Avoided& avoided) {
      return avoided.worker == failure.worker || avoided.until <= now.wall;
    });
    if (job.avoided.size() == kMaxAvoided) job.avoided.erase(job.avoided.begin());
    job.avoided.push_back({failure.worker, now.wall + kAvoidFor});
  }
  const auto worker = workers_.find(failure.worker);
  if (policy.machine && worker != workers_.end()) NoteFault(job, worker->second, now, out);
}

void Core::NoteFault(const Job& job, Worker& worker, Moment now, Decision& out) {
  const Failure& failure = *job.failure;
  std::erase_if(worker.faults, [&](const Fault& fault) {
    return fault.time <= now.wall - options_.cordon_window;
  });
  worker.faults.push_back({now.wall, failure.failure, job.id, failure.attempt, failure.message});
  out.changes.workers.insert(worker.name);
  if (worker.cordon || options_.cordon_after <= 0 ||
      worker.faults.size() < static_cast<size_t>(options_.cordon_after))
    return;
  // What makes many machines fail lies elsewhere: half of them are left.
  std::set<std::string> known, cordoned;
  for (const auto& [name, other] : workers_) {
    if (other.up || other.cordon || name == worker.name) known.insert(MachineOf(other));
    if (other.cordon || name == worker.name) cordoned.insert(MachineOf(other));
  }
  if (2 * cordoned.size() > known.size()) return;
  worker.cordon = Cordon{
      absl::StrCat(worker.faults.size(), " failures within ",
                   absl::FormatDuration(options_.cordon_window), ", the last: ", failure.message),
      /*automatic=*/true, /*draining=*/false, now.wall};
  if (worker.cordon->reason.size() > kMaxCordonReason)
    worker.cordon->reason.resize(kMaxCordonReason);
  DropSpares(worker.name, out);
  AddEvent(job, failure.attempt, "worker_cordoned", "",
           absl::StrCat(worker.name, ": ", worker.cordon->reason), now, out);
}

void Core::RestartOrFail(Job& job, const Attempt& attempt, const Outcome& outcome, Moment now,
                         Decision& out) {
  const RetryPolicy& policy = PolicyOf(outcome.failure);
  const int64_t step = NewestCheckpoint(job.id);
  std::string given_up;
  if (job.restarts >= job.numbers.max_restarts) {
    if (job.numbers.max_restarts == 0)
      return ChangeState(job, JobState::kFailed, outcome.reason, outcome.message, now, out);
    given_up = absl::StrCat("after ", job.restarts, job.restarts == 1 ? " restart" : " restarts",
                            ", the most that failure.maxRestarts allows");
  } else if (policy.failures && job.same_class >= *policy.failures) {
    given_up = absl::StrCat(job.same_class, " times in a row without a new checkpoint");
  }
  if (!given_up.empty())
    return ChangeState(job, JobState::kFailed, std::string(reason::kRetriesExhausted),
                       absl::StrCat(outcome.message, "; ", given_up), now, out);
  ++job.restarts;
  job.restart_class = attempt.stop_reason.empty() ? FailureClassName(policy.failure) : "hang";
  job.fruitless = step > attempt.restore_step ? 1 : job.fruitless + 1;
  const bool lost = std::any_of(attempt.ranks.begin(), attempt.ranks.end(),
                                [](const Rank& rank) { return rank.exit_code == kLost; });
  // A machine that is gone does not fail again.
  const bool at_once = lost && job.fruitless == 1;
  job.not_before = now.steady + (at_once ? absl::ZeroDuration() : Backoff(policy, job.fruitless));
  KeepDevices(job, attempt, now);
  ChangeState(job, JobState::kRestarting, outcome.reason,
              absl::StrCat(outcome.message, "; starts again ", StartText(job)), now, out);
}

void Core::On(const command::CordonWorker& c, Moment now, Decision& out) {
  const auto found = FindWorker(c.worker);
  if (out.reply.status = found.status(); !found.ok()) return;
  if (c.reason.size() > kMaxCordonReason) {
    out.reply.status = Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                             absl::StrCat("the reason has ", c.reason.size(),
                                          " bytes, the most are ", kMaxCordonReason))
                           .Field("reason")
                           .Hint("say it in one sentence");
    return;
  }
  Worker& worker = workers_.at((*found)->name);
  Cordon cordon = worker.cordon.value_or(Cordon{"by request", false, false, now.wall});
  if (!c.reason.empty()) cordon.reason = c.reason;
  cordon.automatic = false;
  cordon.draining = cordon.draining || c.drain;
  worker.cordon = std::move(cordon);
  DropSpares(worker.name, out);
  out.changes.workers.insert(worker.name);
  if (!recovering_) DrainWorkers(now, out);
  schedule_ = true;
}

void Core::On(const command::UncordonWorker& c, Moment, Decision& out) {
  const auto found = FindWorker(c.worker);
  if (out.reply.status = found.status(); !found.ok()) return;
  Worker& worker = workers_.at((*found)->name);
  if (!worker.cordon && worker.faults.empty()) return;
  worker.cordon.reset();
  worker.faults.clear();
  out.changes.workers.insert(worker.name);
  schedule_ = true;
}

// Gangs of workers that are drained go the way of those that are preempted.
void Core::DrainWorkers(Moment now, Decision& out) {
  for (const auto& [name, worker] : workers_) {
    if (!worker.cordon || !worker.cordon->draining) continue;
    for (Job* job : LiveJobsOn(name)) {
      Attempt& attempt = *job->attempt;
      if (attempt.stopping || job->state == JobState::kPausing) continue;
      const bool here =
          std::any_of(attempt.ranks.begin(), attempt.ranks.end(), [&name = name](const Rank& rank) {
            return rank.worker == name && rank.state != RankState::kExited;
          });
      if (!here) continue;
      attempt.drained_from = name;
      TakeDevices(*job, "drained", reason::kWorkerDrained,
                  absl::StrCat("leaves ", name, ": ", worker.cordon->reason), now, out);
    }
  }
}

}  // namespace seer::coordinator
