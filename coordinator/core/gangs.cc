// Core's part about machines and gangs: agents come and go, attempts start, fail and end.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "coordinator/core/core.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/core/job_states.h"
#include "coordinator/core/retry.h"

namespace seer::coordinator {
namespace {

// An agent's heartbeat names all its ranks, also those whose end it has not yet reported, and after
// a hello it reports what ended meanwhile before its next heartbeat:
// a rank that is missing so often is gone.
constexpr int kMissedHeartbeats = 2;
// An agent that is shut down reports its ranks' end a moment before it hangs up:
// it must not get the next attempt.
constexpr absl::Duration kAgentLeaves = absl::Seconds(3);

bool Contains(const std::vector<RunningRank>& running, int64_t attempt_id, size_t rank) {
  return std::any_of(running.begin(), running.end(), [&](const RunningRank& r) {
    return r.attempt_id == attempt_id && r.rank >= 0 && static_cast<size_t>(r.rank) == rank;
  });
}

}  // namespace

Job* Core::Live(int64_t attempt_id) {
  const auto it = live_.find(attempt_id);
  return it == live_.end() ? nullptr : &jobs_.at(it->second);
}

std::vector<Job*> Core::LiveJobs() {
  std::vector<Job*> jobs;
  for (const auto& [attempt, id] : live_) jobs.push_back(&jobs_.at(id));
  return jobs;
}

std::vector<Job*> Core::LiveJobsOn(const std::string& worker) {
  std::vector<Job*> jobs;
  if (const auto it = attempts_on_.find(worker); it != attempts_on_.end()) {
    for (int64_t attempt : it->second) jobs.push_back(Live(attempt));
  }
  return jobs;
}

void Core::AddLive(const Job& job) {
  live_[job.attempt->id] = job.id;
  for (const Rank& rank : job.attempt->ranks) attempts_on_[rank.worker].insert(job.attempt->id);
  for (const std::string& worker : job.attempt->spares)
    attempts_on_[worker].insert(job.attempt->id);
  NoteLack(job);
}

Rank* Core::LiveRank(const RunningRank& rank, const std::string& worker) {
  Job* const job = Live(rank.attempt_id);
  if (job == nullptr || rank.rank < 0 ||
      static_cast<size_t>(rank.rank) >= job->attempt->ranks.size())
    return nullptr;
  Rank& found = job->attempt->ranks[static_cast<size_t>(rank.rank)];
  return found.worker == worker && found.state != RankState::kExited ? &found : nullptr;
}

absl::StatusOr<Job*> Core::CheckLive(int64_t attempt_id, const std::string& name) {
  Job* const job = Live(attempt_id);
  if (job != nullptr && (name.empty() || absl::StrCat("jobs/", job->id) == name)) return job;
  return Error(absl::StatusCode::kFailedPrecondition, reason::kStaleAttempt,
               absl::StrCat("attempt ", attempt_id, " of ", name, " is not the live one"))
      .Hint("a newer attempt took over, or the job ended: this trainer must exit")
      .With("attempt", absl::StrCat(attempt_id));
}

void Core::On(const command::WorkerHello& c, Moment now, Decision& out) {
  const std::string& name = c.worker.name;
  Worker& worker = workers_[name];
  // A new incarnation took its ranks with it when the old one died.
  const bool same_agent = worker.incarnation.empty() || worker.incarnation == c.worker.incarnation;
  std::optional<Cordon> cordon = std::move(worker.cordon);
  std::vector<Fault> faults = std::move(worker.faults);
  worker = c.worker;
  worker.cordon = std::move(cordon);
  worker.faults = std::move(faults);
  worker.up = worker.connected = true;
  worker.heard_time = now.wall;
  leases_.Renew(name, now.steady);
  out.changes.workers.insert(name);
  for (Job* job : LiveJobsOn(name)) GreetRanks(*job, name, same_agent, c.running, now, out);
  for (const RunningRank& rank : c.running) {
    if (LiveRank(rank, name) == nullptr)
      out.effects.stop.push_back({name, rank.attempt_id, /*kill=*/true});
  }
  if (recovering_ && AllAgentsBack()) EndRecovery(now, out);
  schedule_ = true;
}

void Core::GreetRanks(Job& job, const std::string& worker, bool same_agent,
                      const std::vector<RunningRank>& running, Moment now, Decision& out) {
  bool here = false, lost = false;
  for (size_t i = 0; i < job.attempt->ranks.size(); ++i) {
    Rank& rank = job.attempt->ranks[i];
    if (rank.worker != worker || rank.state == RankState::kExited) continue;
    here = true;
    rank.missed = 0;  // its end may be reported next
    const bool held = Contains(running, job.attempt->id, i);
    if (!held && same_agent && rank.state == RankState::kStarting &&
        job.state == JobState::kStarting && !job.attempt->stopping) {
      // The assignment was lost with the stream, or with a coordinator between commit and send.
      rank.missed = -Rank::kAssignGrace;
      out.effects.assign.push_back({worker, job.id, job.attempt->id, static_cast<int>(i)});
    }
    if (!held && !same_agent) {
      LoseRank(job, i, "its agent was started again", now, out);
      lost = true;
    }
  }
  // What it was told while its stream was broken, once more.
  if (here && job.attempt->stopping)
    out.effects.stop.push_back({worker, job.attempt->id, /*kill=*/true});
  if (here && job.state == JobState::kPausing && !job.attempt->stopping) {
    out.effects.stop.push_back({worker, job.attempt->id, /*kill=*/false, GraceOf(job, now)});
  }
  if (lost) Settle(job, now, out);
}

bool Core::Renew(const command::WorkerHeartbeat& heartbeat, Moment now) {
  const auto it = workers_.find(heartbeat.worker);
  if (it == workers_.end() || !it->second.connected || !it->second.up) return false;
  std::set<Rank*> reported;
  for (const RunningRank& rank : heartbeat.running) {
    Rank* const found = LiveRank(rank, heartbeat.worker);
    if (found == nullptr || Live(rank.attempt_id)->attempt->stopping) return false;
    reported.insert(found);
  }
  size_t expected = 0;
  for (const Job* job : LiveJobsOn(heartbeat.worker)) {
    for (const Rank& rank : job->attempt->ranks)
      expected += rank.worker == heartbeat.worker && rank.state != RankState::kExited;
  }
  if (reported.size() != expected) return false;
  for (Rank* rank : reported) rank->missed = 0;
  it->second.heard_time = now.wall;
  leases_.Renew(heartbeat.worker, now.steady);
  return true;
}

void Core::On(const command::WorkerHeartbeat& c, Moment now, Decision& out) {
  const auto it = workers_.find(c.worker);
  if (it == workers_.end() || !it->second.connected) return;  // a hello comes first
  it->second.heard_time = now.wall;
  leases_.Renew(c.worker, now.steady);
  if (!std::exchange(it->second.up, true)) {
    out.changes.workers.insert(c.worker);
    schedule_ = true;
  }
  std::set<int64_t> stopped;
  for (const RunningRank& rank : c.running) {
    if (Rank* const found = LiveRank(rank, c.worker)) {
      found->missed = -1;  // counted up below
      if (!Live(rank.attempt_id)->attempt->stopping) continue;
    }
    // Of a gang that was given up, or that has not ended though it was told to.
    if (stopped.insert(rank.attempt_id).second)
      out.effects.stop.push_back({c.worker, rank.attempt_id, /*kill=*/true});
  }
  for (Job* job : LiveJobsOn(c.worker)) {
    bool lost = false;
    for (size_t i = 0; i < job->attempt->ranks.size(); ++i) {
      Rank& rank = job->attempt->ranks[i];
      if (rank.worker != c.worker || rank.state == RankState::kExited) continue;
      if (++rank.missed < kMissedHeartbeats) continue;
      LoseRank(*job, i, "its agent no longer has it", now, out);
      lost = true;
    }
    if (lost) Settle(*job, now, out);
  }
}

void Core::On(const command::WorkerGone& c, Moment now, Decision& out) {
  if (const auto it = workers_.find(c.worker); it != workers_.end()) it->second.connected = false;
}

void Core::On(const command::RankStarted& c, Moment now, Decision& out) {
  Rank* const rank = LiveRank(c.rank, c.worker);
  if (rank == nullptr || rank->state != RankState::kStarting) return;
  rank->state = RankState::kRunning;
  Job& job = *Live(c.rank.attempt_id);
  Changed(job, out);
  const bool all = std::all_of(job.attempt->ranks.begin(), job.attempt->ranks.end(),
                               [](const Rank& r) { return r.state == RankState::kRunning; });
  if (all && job.state == JobState::kStarting)
    ChangeState(job, JobState::kRunning, "", "", now, out);
}

void Core::On(const command::RankExited& c, Moment now, Decision& out) {
  if (LiveRank(c.rank, c.worker) == nullptr) return;
  Job& job = *Live(c.rank.attempt_id);
  // It may have ended before it was told to.
  if (c.prompted) job.attempt->ranks[static_cast<size_t>(c.rank.rank)].killed = *c.prompted;
  ExitRank(job, static_cast<size_t>(c.rank.rank),
           {c.exit_code, c.reason, c.message, c.lines, c.oom_killed, c.device_fault}, now, out);
  Settle(job, now, out);
}

void Core::On(const command::ReportProgress& c, Moment now, Decision& out) {
  const auto live = CheckLive(c.attempt_id, c.job);
  if (out.reply.status = live.status(); !live.ok()) return;
  Job& job = **live;
  out.reply.job = job.id;
  Attempt& attempt = *job.attempt;
  if (c.progress.step > attempt.newest_step) {
    attempt.newest_step = c.progress.step;
    attempt.progressed_at = now.steady;
  }
  if (job.state == JobState::kStarting || job.state == JobState::kRunning)
    job.ledger.CountTraining({c.progress.step, c.progress.train_seconds,
                              c.progress.data_wait_seconds, c.progress.checkpoint_seconds},
                             job.highest_step, now, out.counted);
  if (job.first_loss == 0 && attempt.restore_step == job.numbers.start_step)
    job.first_loss = c.progress.first_loss;
  job.progress = c.progress;
  job.progress.updated = now.wall;
  job.highest_step = std::max(job.highest_step, c.progress.step);
  if (job.state == JobState::kStarting) {
    attempt.progressed_at = now.steady;
    ChangeState(job, JobState::kRunning, "", "", now, out);
  }
  CheckHealth(job, now, out);
  out.reply.yes = job.state == JobState::kPausing;
  NoteProfile(c, job, out);
  NotePlan(c.plan, job, now, out);
  const auto newest = newest_generations_.find(job.numbers.followed_pool);
  if (job.state == JobState::kRunning && newest != newest_generations_.end() && !job.plan.empty() &&
      newest->second > job.plan.back().generation)
    out.reply.newest_generation = newest->second;
}

// The ranks decide at which step a newer generation begins, some steps ahead; a checkpoint beyond
// that step is committed with the plan that it was trained by.
void Core::NotePlan(const std::vector<PlanEntry>& plan, Job& job, Moment now, Decision& out) {
  if (job.numbers.followed_pool.empty() || !Extends(plan, job.plan)) return;
  for (size_t i = job.plan.size(); i < plan.size(); ++i) {
    AddEvent(job, job.attempt->number, "generation_changed", "",
             absl::StrCat("generation ", plan[i].generation, " of pool ", job.numbers.followed_pool,
                          " from step ", plan[i].first_step, " on"),
             now, out);
  }
  job.plan = plan;
  Changed(job, out);
}

void Core::On(const command::PoolGeneration& c, Moment, Decision&) {
  int64_t& newest = newest_generations_[c.pool];
  newest = std::max(newest, c.generation);
}

std::set<std::string> Core::FollowedPools() const {
  std::set<std::string> pools;
  for (const auto& [id, job] : jobs_) {
    if (!Ended(job.state) && !job.numbers.followed_pool.empty())
      pools.insert(job.numbers.followed_pool);
  }
  return pools;
}

void Core::On(const command::ReportEval& c, Moment now, Decision& out) {
  const auto live = CheckLive(c.attempt_id, c.job);
  if (out.reply.status = live.status(); !live.ok()) return;
  Job& job = **live;
  job.eval = c.result;
  Changed(job, out);
  AddEvent(job, job.attempt->number, "eval_reported", "", "", now, out);
}

void Core::On(const command::Tick&, Moment now, Decision& out) {
  for (const std::string& name : leases_.TakeExpired(now.steady)) {
    Worker& worker = workers_.at(name);
    // Its stream may still be open: heartbeats that come again renew the lease.
    worker.up = false;
    out.changes.workers.insert(name);
    DropSpares(name, out);
    LoseRanksOf(name, "its worker's lease ran out", now, out);
  }
  for (auto it = workers_.begin(); it != workers_.end();) {
    // What is stored of a worker's last sign of life is old: after a start they may come back
    // first.
    if (it->second.up || it->second.cordon || now.steady < recover_by_ ||
        now.wall - it->second.heard_time < options_.forget_workers_after) {
      ++it;
      continue;
    }
    out.changes.workers.erase(it->first);
    out.changes.removed_workers.insert(it->first);
    it = workers_.erase(it);
  }
  if (recovering_ && now.steady >= recover_by_) EndRecovery(now, out);
  if (!recovering_) KillStalled(now, out);
  if (!recovering_) WatchHangs(now, out);
  if (!recovering_) DrainWorkers(now, out);
  KillPreempted(now, out);
  ForgetProfiles(now);
  ForgetHistory(now, out);
  for (const std::string& id : waiting_) CountTime(jobs_.at(id), now, out);
  for (Job* job : LiveJobs()) {
    if (!job->ledger.training()) CountTime(*job, now, out);
  }
  SettleSweeps(now, out);
  schedule_ = true;
}

bool Core::AllAgentsBack() const {
  for (const auto& [attempt, id] : live_) {
    for (const Rank& rank : jobs_.at(id).attempt->ranks) {
      const auto it = workers_.find(rank.worker);
      if (rank.state != RankState::kExited && (it == workers_.end() || !it->second.up))
        return false;
    }
  }
  return true;
}

void Core::EndRecovery(Moment now, Decision& out) {
  recovering_ = false;
  for (const auto& [name, worker] : workers_)
    if (!worker.up) DropSpares(name, out);
  for (Job* job : LiveJobs()) {
    for (size_t i = 0; i < job->attempt->ranks.size(); ++i) {
      const Rank& rank = job->attempt->ranks[i];
      const auto it = workers_.find(rank.worker);
      if (rank.state == RankState::kExited || (it != workers_.end() && it->second.up)) continue;
      LoseRank(*job, i, "its worker did not come back after the coordinator's restart", now, out);
    }
    Settle(*job, now, out);
  }
}

void Core::ExitRank(Job& job, size_t number, const Evidence& evidence, Moment now, Decision& out) {
  Attempt& attempt = *job.attempt;
  Rank& rank = attempt.ranks[number];
  rank.exited = 1 + static_cast<int>(
                        std::count_if(attempt.ranks.begin(), attempt.ranks.end(),
                                      [](const Rank& r) { return r.state == RankState::kExited; }));
  rank.state = RankState::kExited;
  rank.exit_code = evidence.exit_code;
  rank.reason = evidence.reason;
  rank.message = evidence.message;
  rank.diagnosis = Diagnose(evidence);
  Changed(job, out);
  AddEvent(job, attempt.number, "rank_exited", rank.reason,
           absl::StrCat("rank ", number, " on ", rank.worker,
                        rank.exit_code == kLost ? std::string(" lost")
                                                : absl::StrCat(" exited with ", rank.exit_code),
                        rank.message.empty() ? "" : ": ", rank.message),
           now, out);
}

void Core::LoseRank(Job& job, size_t number, const std::string& why, Moment now, Decision& out) {
  ExitRank(job, number, {kLost, std::string(reason::kLeaseLost), why, {}, false}, now, out);
}

void Core::LoseRanksOf(const std::string& worker, const std::string& why, Moment now,
                       Decision& out) {
  for (Job* job : LiveJobsOn(worker)) {
    bool lost = false;
    for (size_t i = 0; i < job->attempt->ranks.size(); ++i) {
      const Rank& rank = job->attempt->ranks[i];
      if (rank.worker != worker || rank.state == RankState::kExited) continue;
      LoseRank(*job, i, why, now, out);
      lost = true;
    }
    if (lost) Settle(*job, now, out);
  }
}

absl::Duration Core::GraceOf(const Job& job, Moment now) {
  if (!DevicesTaken(*job.attempt)) return StopRanks().grace;
  return std::max(job.attempt->kill_at - now.steady, absl::ZeroDuration());
}

void Core::TellRanks(Job& job, bool kill, Moment now, Decision& out) {
  if (kill) job.attempt->stopping = true;
  std::set<std::string> told;
  for (Rank& rank : job.attempt->ranks) {
    if (rank.state == RankState::kExited) continue;
    rank.killed = rank.killed || kill;
    if (told.insert(rank.worker).second)
      out.effects.stop.push_back({rank.worker, job.attempt->id, kill, GraceOf(job, now)});
  }
  Changed(job, out);
}

void Core::Settle(Job& job, Moment now, Decision& out) {
  if (!job.attempt) return;
  bool failed = false, all = true;
  for (const Rank& rank : job.attempt->ranks) {
    all = all && rank.state == RankState::kExited;
    failed = failed || Failed(rank);
  }
  if (all) {
    EndAttempt(job, now, out);
  } else if (failed && !job.attempt->stopping) {
    TellRanks(job, /*kill=*/true, now, out);
  }
}

void Core::EndAttempt(Job& job, Moment now, Decision& out) {
  using enum JobState;
  job.device_seconds = DeviceSecondsOf(job, now.wall);
  const Attempt attempt = std::move(*job.attempt);
  const Outcome outcome = Judge(attempt);
  LeaveCorruptCheckpoint(job, attempt, now, out);
  AddEvent(job, attempt.number, "attempt_ended", outcome.reason, outcome.message, now, out);
  if (outcome.failure != FailureClass::kNone && !job.cancelling)
    NoteFailure(job, attempt, outcome, now, out);
  CountLastTime(job, attempt, outcome, now, out);
  job.data_wait_seconds += job.progress.data_wait_seconds;
  job.train_seconds += job.progress.train_seconds;
  job.progress.data_wait_seconds = job.progress.train_seconds = 0;
  job.progress.checkpoint_seconds = 0;
  ForgetReports(attempt.id);
  InterruptProfile(job, attempt, now, out);
  live_.erase(attempt.id);
  for (const Rank& rank : attempt.ranks) ForgetAttemptOn(rank.worker, attempt.id);
  for (const std::string& worker : attempt.spares) ForgetAttemptOn(worker, attempt.id);
  job.attempt.reset();
  NoteLack(job);
  schedule_ = true;

  if (outcome.verdict == Verdict::kSucceeded) return ChangeState(job, kSucceeded, "", "", now, out);
  if (job.cancelling)
    return ChangeState(job, kCancelled, job.cancel_reason, job.cancel_message, now, out);
  if (outcome.verdict == Verdict::kFail)
    return ChangeState(job, kFailed, outcome.reason, outcome.message, now, out);
  if (DevicesTaken(attempt)) return EndPreempted(job, attempt, outcome, now, out);
  if (job.state == kPausing) {
    std::string why;
    if (attempt.roll_back_to)
      why = absl::StrCat("; ", RollBack(job, attempt, now, out));
    else if (!outcome.message.empty())
      why = absl::StrCat("; while pausing: ", outcome.message);
    const bool unhealthy = job.reason == reason::kHealthRule && !job.findings.empty();
    if (unhealthy)
      why = absl::StrCat("; ", job.findings.back().rule, ": ", job.findings.back().message, why);
    return ChangeState(job, kPaused, unhealthy ? job.reason : outcome.reason,
                       absl::StrCat("resumes ", StartText(job), why), now, out);
  }
  if (attempt.roll_back_to) return EndRolledBack(job, attempt, now, out);
  if (outcome.verdict == Verdict::kPaused) {  // an agent was shut down: nobody's fault
    job.not_before = now.steady + kAgentLeaves;
    KeepDevices(job, attempt, now);
    return ChangeState(job, kRestarting, std::string(reason::kShuttingDown),
                       absl::StrCat("its workers shut down; starts again ", StartText(job)), now,
                       out);
  }
  RestartOrFail(job, attempt, outcome, now, out);
}

void Core::StartAttempt(Job& job, const std::vector<std::string>& placement,
                        std::vector<std::string> spares, Moment now, Decision& out) {
  if (!job.numbers.eval_job.empty() && job.numbers.eval_step == 0)
    job.numbers.eval_step = NewestCheckpoint(job.numbers.eval_job);
  Attempt attempt;
  attempt.id = ++last_attempt_;
  attempt.holds_since = job.kept ? job.kept->since : attempt.id;
  attempt.spares = std::move(spares);
  attempt.number = ++job.attempts;
  attempt.started = now.wall;
  const CheckpointKey start = StartOf(job);
  attempt.restore_step = start.second;
  if (start.first != job.id) attempt.restore_job = start.first;
  attempt.newest_step = attempt.restore_step;
  attempt.progressed_at = now.steady;
  for (size_t i = 0; i < placement.size(); ++i) {
    attempt.ranks.emplace_back();
    attempt.ranks.back().worker = placement[i];
    out.effects.assign.push_back({placement[i], job.id, attempt.id, static_cast<int>(i)});
  }
  if (job.started == absl::InfinitePast()) job.started = now.wall;
  job.attempt = std::move(attempt);
  AddLive(job);
  ChangeState(job, JobState::kStarting, "", "", now, out);
  job.ledger.BeginAttempt(job.attempt->restore_step);
  AddEvent(job, job.attempt->number, "attempt_started", "",
           absl::StrCat(
               placement.size(), placement.size() == 1 ? " rank on " : " ranks on ",
               absl::StrJoin(std::set<std::string>(placement.begin(), placement.end()), ", "),
               job.attempt->spares.empty()
                   ? ""
                   : absl::StrCat(", spares on ",
                                  absl::StrJoin(std::set<std::string>(job.attempt->spares.begin(),
                                                                      job.attempt->spares.end()),
                                                ", ")),
               " from step ", job.attempt->restore_step, ", generation ",
               GenerationAt(job.plan, job.attempt->restore_step)),
           now, out);
}

}  // namespace seer::coordinator
