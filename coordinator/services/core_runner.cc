#include "coordinator/services/core_runner.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/trace/tracer.h"
#include "coordinator/core/failure.h"
#include "coordinator/core/hang_finding.h"
#include "coordinator/core/job_states.h"
#include "coordinator/services/convert.h"
#include "coordinator/store/leader_lease.h"

namespace seer::coordinator {
namespace {

template <typename T>
void Append(std::vector<T>& to, std::vector<T>&& from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

void Append(Effects& to, Effects&& from) {
  Append(to.assign, std::move(from.assign));
  Append(to.stop, std::move(from.stop));
  Append(to.inspect, std::move(from.inspect));
  Append(to.mark_committed, std::move(from.mark_committed));
  Append(to.delete_files, std::move(from.delete_files));
  Append(to.delete_history, std::move(from.delete_history));
  Append(to.watched, std::move(from.watched));
}

}  // namespace

absl::Status CoreRunner::Start(EffectSink& sink, absl::Duration tick) {
  sink_ = &sink;
  tick_ = tick;
  return BeginToLead(0);
}

void CoreRunner::StartStandingBy(EffectSink& sink, absl::Duration tick) {
  sink_ = &sink;
  tick_ = tick;
  refusal_ = NotLeader("");
  metrics_.leader.Set(0);
}

void CoreRunner::Lead(int64_t term, std::function<void(const absl::Status&)> done) {
  loop_.Post([this, term, done = std::move(done)]() mutable {
    WhenWritten([this, term, done = std::move(done)] {
      if (leading_) StopLeading(NotLeader(""));
      const absl::Status status = BeginToLead(term);
      if (status.ok()) {
        LogInfo("leading", {{"term", term}});
        sink_->Leads();
      }
      if (done) done(status);
    });
  });
}

void CoreRunner::StandBy(const absl::Status& refusal) {
  loop_.Post([this, refusal] { StopLeading(refusal); });
}

absl::Status CoreRunner::CheckLeads() {
  CheckThread();
  if (leading_ && !leads()) StopLeading(NotLeader(""));
  return leading_ ? absl::OkStatus() : refusal_;
}

void CoreRunner::StopLeading(const absl::Status& refusal) {
  refusal_ = refusal;
  if (!leading_.exchange(false)) return;
  LogWarn("standing_by", {{"reason", StatusText(refusal)}});
  core_ = std::make_unique<Core>(options_);
  wished_.clear();
  unsaved_ = {};
  waiting_ = {};
  ++turn_;
  AnswerAll(refusal);
  metrics_.leader.Set(0);
  gauges_.Measure(*core_, Now());
  sink_->StandsBy(refusal);
}

absl::Status CoreRunner::BeginToLead(int64_t term) {
  SEER_RETURN_IF_ERROR(store_.BeginTerm(term));
  SEER_ASSIGN_OR_RETURN(StoredState state, store_.Load());
  LogInfo("database_loaded", {{"jobs", state.jobs.size()},
                              {"checkpoints", state.checkpoints.size()},
                              {"workers", state.workers.size()}});
  core_ = std::make_unique<Core>(options_);
  Decision decision = core_->Load(std::move(state), Now());
  leading_ = true;
  metrics_.leader.Set(1);
  CarryOut(std::move(decision.effects), decision.changes);
  TickLater();
  return absl::OkStatus();
}

void CoreRunner::WhenWritten(Loop::Task task) {
  if (writing_) {
    deferred_.push_back(std::move(task));
  } else {
    task();
  }
}

void CoreRunner::RunOnWriter(Loop::Task work, Loop::Task done) {
  writing_ = true;
  writer_.Post([this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    loop_.Post([this, done = std::move(done)]() mutable {
      writing_ = false;
      done();
      while (!writing_ && !deferred_.empty()) {
        Loop::Task task = std::move(deferred_.front());
        deferred_.pop_front();
        task();
      }
    });
  });
}

void CoreRunner::Post(Command command, Done done) {
  loop_.Post([this, command = std::move(command), done = std::move(done)]() mutable {
    WhenWritten([this, command = std::move(command), done = std::move(done)]() mutable {
      Answer answer;
      answer.done = std::move(done);
      if (answer.reply.status = CheckLeads(); !answer.reply.status.ok()) return Give(answer);
      answer.reply = Apply(command);
      answer.progress = std::holds_alternative<command::ReportProgress>(command);
      answers_.push_back(std::move(answer));
      CommitSoon();
    });
  });
}

void CoreRunner::Heartbeat(command::WorkerHeartbeat heartbeat, Done done) {
  CheckThread();
  if (!leading_ || !core_->Renew(heartbeat, Now()))
    return Post(std::move(heartbeat), std::move(done));
  done(Reply(), *core_);
}

void CoreRunner::CommitSoon() {
  // Behind the commands that are ready by now: one commit for all of them.
  if (std::exchange(commit_due_, true)) return;
  loop_.Post([this] {
    commit_due_ = false;
    WhenWritten([this] { Commit(); });
  });
}

void CoreRunner::Commit() {
  if (!CheckLeads().ok()) return;
  if (unsaved_.empty()) return Committed(absl::OkStatus(), absl::ZeroDuration());
  struct Write {
    Store::Commit commit;
    absl::Status saved;
    absl::Duration took;
  };
  auto write = std::make_shared<Write>();
  write->commit = store_.Prepare(unsaved_, *core_);
  RunOnWriter(
      [this, write] {
        const absl::Duration start = clock_.Steady();
        write->saved = write->commit();
        write->took = clock_.Steady() - start;
      },
      [this, write, turn = turn_] {
        if (turn == turn_) Committed(write->saved, write->took);
      });
}

void CoreRunner::Committed(const absl::Status& saved, absl::Duration took) {
  if (HasReason(saved, reason::kNotLeader)) return StopLeading(saved);
  if (saved.ok()) {
    const Changes changes = std::exchange(unsaved_, {});
    if (!changes.empty()) metrics_.commit.Observe(absl::ToDoubleSeconds(took));
    CarryOut(std::exchange(waiting_, {}), changes);
  } else {
    metrics_.commit_failures.Add();
    LogError("database_commit_failed", {{"error", StatusText(saved)}});
  }
  AnswerAll(saved);
}

void CoreRunner::AnswerAll(const absl::Status& saved) {
  for (Answer& answer : std::exchange(answers_, {})) {
    if (!saved.ok()) {
      answer.reply.status = saved;
    } else if (answer.progress && !answer.reply.job.empty()) {
      sink_->JobChanged(answer.reply.job);
    }
    Give(answer);
  }
  for (const WaitingRead& waiting : std::exchange(reads_, {}))
    waiting.done(saved.ok() ? waiting.read(*core_, store_) : saved);
}

void CoreRunner::Give(const Answer& answer) {
  if (answer.done) answer.done(answer.reply, *core_);
}

Reply CoreRunner::Execute(Command command) {
  absl::Notification ready;
  Reply reply;
  Post(std::move(command), [&](const Reply& result, const Core&) {
    reply = result;
    ready.Notify();
  });
  ready.WaitForNotification();
  return reply;
}

absl::Status CoreRunner::Read(
    const std::function<absl::Status(const Core& core, Store& store)>& read) {
  absl::Notification ready;
  absl::Status status;
  const auto done = [&](const absl::Status& got) {
    status = got;
    ready.Notify();
  };
  loop_.Post([&] {
    WhenWritten([&] {
      if (const absl::Status leads = CheckLeads(); !leads.ok()) return done(leads);
      if (unsaved_.empty()) return done(read(*core_, store_));
      reads_.push_back({read, done});
      CommitSoon();
    });
  });
  ready.WaitForNotification();
  return status;
}

absl::Status CoreRunner::Write(const std::function<absl::Status(Store& store)>& write) {
  absl::Notification ready;
  absl::Status status;
  loop_.Post([&] {
    WhenWritten([&] {
      if (status = CheckLeads(); !status.ok()) return ready.Notify();
      RunOnWriter([&] { status = write(store_); }, [&] { ready.Notify(); });
    });
  });
  ready.WaitForNotification();
  return status;
}

Reply CoreRunner::Apply(const Command& command) {
  const absl::Duration start = clock_.Steady();
  Decision decision = core_->Step(command, Now());
  if (decision.scheduled)
    metrics_.scheduler_cycle.Observe(absl::ToDoubleSeconds(clock_.Steady() - start));
  if (decision.lost_device_seconds > 0) metrics_.preemption_lost.Add(decision.lost_device_seconds);
  for (size_t i = 0; i < kTimeClasses; ++i) {
    if (decision.counted[i] > 0)
      metrics_.job_time.Add(decision.counted[i],
                            {{"class", TimeClassName(static_cast<TimeClass>(i))}});
  }
  unsaved_.Merge(std::move(decision.changes));
  Append(waiting_, std::move(decision.effects));
  return std::move(decision.reply);
}

void CoreRunner::CarryOut(Effects effects, const Changes& changes) {
  Count(changes);
  for (const StopRanks& stop : effects.stop) sink_->Stop(stop);
  for (const InspectRanks& inspect : effects.inspect) sink_->Inspect(inspect);
  for (const AssignRank& assign : effects.assign) sink_->Assign(assign, *core_);
  for (const CheckpointKey& key : effects.mark_committed) {
    const auto it = core_->checkpoints().find(key);
    if (it != core_->checkpoints().end() && !it->second.deleting) sink_->MarkCommitted(it->second);
  }
  for (const CheckpointKey& key : effects.delete_files) sink_->DeleteFiles(key);
  for (const std::string& job : effects.delete_history) sink_->DeleteHistory(job);
  for (const Event& event : changes.events) sink_->Happened(event, *core_);
  for (const std::string& job : changes.jobs) sink_->JobChanged(job);
  for (const std::string& job : effects.watched) sink_->JobChanged(job);
}

void CoreRunner::NoteGangWait(const Event& event) {
  const auto to = [&event](JobState state) { return event.to == StateName(state); };
  if (event.type == "job_created" || to(JobState::kQueued) || to(JobState::kRestarting)) {
    wished_.try_emplace(event.job, event.created);
  } else if (to(JobState::kRunning)) {
    if (const auto wish = wished_.extract(event.job))
      metrics_.gang_wait.Observe(absl::ToDoubleSeconds(event.created - wish.mapped()));
  } else if (to(JobState::kPaused) || to(JobState::kSucceeded) || to(JobState::kFailed) ||
             to(JobState::kCancelled)) {
    wished_.erase(event.job);
  }
}

void CoreRunner::Count(const Changes& changes) {
  for (const Event& event : changes.events) {
    const auto job = core_->jobs().find(event.job);
    if (job == core_->jobs().end()) continue;  // forgotten since, while commits failed
    const WithinTrace of_job(TraceContextOf(job->second.traceparent));  // its lines
    NoteGangWait(event);
    if (event.type == "job_state_changed") {
      metrics_.transitions.Add(1,
                               {{"from", event.from}, {"to", event.to}, {"reason", event.reason}});
      const Job& job = core_->jobs().at(event.job);
      if (event.to == StateName(JobState::kRestarting) && event.reason != reason::kGangResized)
        metrics_.restarts.Add(
            1, {{"class", event.reason == "SHUTTING_DOWN" ? "shutdown" : job.restart_class}});
      if (event.to == StateName(JobState::kStarting) && event.attempt == 1)
        metrics_.queue_wait.Observe(absl::ToDoubleSeconds(event.created - job.created));
      LogInfo("job_state_changed", {{"job", event.job},
                                    {"attempt", event.attempt},
                                    {"from", event.from},
                                    {"to", event.to},
                                    {"reason", event.reason},
                                    {"message", event.message}});
    } else {
      if (event.failure != FailureClass::kNone)
        metrics_.failures.Add(1, {{"class", FailureClassName(event.failure)}});
      if (event.type == "checkpoint_committed") metrics_.checkpoint_commits.Add();
      if (event.type == "preempted") CountPreemption(core_->jobs().at(event.job));
      if (event.type == "health_alert") metrics_.health_findings.Add(1, {{"action", "alert"}});
      if (event.type == "health_acted") metrics_.health_findings.Add(1, {{"action", "act"}});
      if (event.type == "checkpoint_deleted") metrics_.checkpoint_deleted.Add();
      LogInfo(event.type, {{"job", event.job},
                           {"attempt", event.attempt},
                           {"reason", event.reason},
                           {"message", event.message}});
    }
  }
}

void CoreRunner::CountPreemption(const Job& victim) {
  if (!victim.attempt) return;  // it has ended already
  const auto taker = core_->jobs().find(victim.attempt->preempted_for);
  const bool same =
      taker != core_->jobs().end() && taker->second.numbers.queue == victim.numbers.queue;
  metrics_.preemptions.Add(1, {{"reason", same ? "priority" : "reclaim"}});
}

void CoreRunner::TickLater() {
  loop_.After(tick_, [this, turn = turn_] {
    WhenWritten([this, turn] {
      if (turn == turn_) Tick();
    });
  });
}

void CoreRunner::Tick() {
  if (!CheckLeads().ok()) return;
  Apply(command::Tick{});
  CommitSoon();
  gauges_.Measure(*core_, Now());
  TickLater();
}

}  // namespace seer::coordinator
