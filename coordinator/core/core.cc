// Core: the way in, and what clients ask for.
// gangs.cc has agents and attempts, checkpoints.cc the checkpoints.
#include "coordinator/core/core.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

// Where more jobs wait, or there are more workers, the queues are gone through on ticks alone: a
// pass then takes tens of milliseconds.
constexpr size_t kScheduleAtOnce = 2000;

}  // namespace

absl::Status Core::WrongState(const Job& job, absl::string_view verb) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kWrongJobState,
               absl::StrCat("job ", job.id, " is ",
                            job.cancelling ? "being cancelled" : StateName(job.state),
                            " and cannot be ", verb))
      .Hint(absl::StrCat("`seer job describe ", job.id, "` shows its state"))
      .With("job", job.id)
      .With("state", StateName(job.state));
}

Decision Core::Load(StoredState state, Moment now) {
  Decision out;
  for (Queue& queue : state.queues) {
    const std::string name = queue.name;
    queues_[name] = std::move(queue);
  }
  for (Job& job : state.jobs) {
    if (!Ended(job.state)) queues_[job.numbers.queue].name = job.numbers.queue;
    last_queue_number_ = std::max(last_queue_number_, job.queue_number);
    if (job.attempt) {
      job.attempt->progressed_at = now.steady;
      job.attempt->kill_at = now.steady + queues_.at(job.numbers.queue).preemption_grace;
      AddLive(job);
      recovering_ = true;
    }
    if (job.kept) {  // agents need a moment to come back
      job.kept->until = now.steady + options_.lease + options_.keep_devices;
      job.kept->shrinks_at = now.steady + options_.lease;
      keeping_.insert(job.id);
    }
    const std::string id = job.id;
    if (Waiting(job.state)) waiting_.insert(id);
    if (!Ended(job.state)) {
      LinkChain(job);
    } else {
      ended_.Add(id, job.ended);
    }
    index_.Add(jobs_[id] = std::move(job));
  }
  for (JobSchedule& schedule : state.schedules) {
    // It was read before it was stored.
    if (auto cron = Cron::Parse(schedule.cron); cron.ok())
      crons_.insert_or_assign(schedule.name, *std::move(cron));
    const std::string name = schedule.name;
    schedules_[name] = std::move(schedule);
  }
  for (Sweep& sweep : state.sweeps) {
    const std::string name = sweep.name;
    sweeps_[name] = std::move(sweep);
  }
  recover_by_ = now.steady + options_.lease;
  for (Checkpoint& checkpoint : state.checkpoints) {
    const CheckpointKey key(checkpoint.job, checkpoint.step);
    if (checkpoint.deleting) {
      out.effects.delete_files.push_back(key);
    } else if (!checkpoint.marked) {
      out.effects.mark_committed.push_back(key);
    }
    checkpoints_[key] = std::move(checkpoint);
  }
  for (Worker& worker : state.workers) {
    worker.up = worker.connected = false;
    const std::string name = worker.name;
    workers_[name] = std::move(worker);
  }
  for (Request& request : state.requests) {
    // From before times were stored.
    if (request.time == absl::UnixEpoch()) request.time = now.wall;
    requests_.Add(request);
  }
  event_history_.Load(state.first_event, std::move(state.event_marks));
  last_event_ = state.last_event;
  last_attempt_ = state.last_attempt;
  return out;
}

Decision Core::Step(const Command& command, Moment now) {
  Decision out;
  std::visit([&](const auto& c) { On(c, now, out); }, command);
  if (!out.reply.status.ok()) {  // what was refused may be asked again with the same id
    for (const Request& request : out.changes.requests) requests_.Erase(request.id);
    out.changes.requests.clear();
  }
  SettleChains(now, out);
  const bool at_once = waiting_.size() + workers_.size() <= kScheduleAtOnce;
  if (schedule_ && (at_once || std::holds_alternative<command::Tick>(command))) {
    schedule_ = false;
    SchedulePass(now, out);
  }
  return out;
}

absl::StatusOr<const Job*> Core::Find(const std::string& name) const {
  absl::string_view key = name;
  absl::ConsumePrefix(&key, "jobs/");
  if (const auto it = jobs_.find(std::string(key)); it != jobs_.end()) return &it->second;
  if (const Job* newest = index_.Newest(std::string(key)); newest != nullptr) return newest;
  return Error(absl::StatusCode::kNotFound, reason::kJobNotFound,
               absl::StrCat("no job '", key, "'"))
      .Field("name")
      .Hint("`seer job list` shows the jobs")
      .With("job", key);
}

std::string Core::MadeBy(absl::string_view verb, const std::string& request_id) const {
  if (request_id.empty()) return "";
  const std::string* const made = requests_.Find(absl::StrCat(verb, "/", request_id));
  return made == nullptr ? "" : *made;
}

absl::Status Core::CheckCreate(const Job& job) const {
  if (const Job* other = job.name.empty() ? nullptr : index_.Live(job.name); other != nullptr) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kJobNameTaken,
                 absl::StrCat("job ", other->id, " of the name '", job.name, "' has not ended"))
        .Field("metadata.name")
        .Hint("choose another metadata.name, or cancel that job")
        .With("job", other->id);
  }
  SEER_RETURN_IF_ERROR(CheckChain(job, job.numbers));
  if (job.numbers.eval_step > 0) {
    SEER_RETURN_IF_ERROR(FindCheckpoint(absl::StrCat("jobs/", job.numbers.eval_job, "/checkpoints/",
                                                     job.numbers.eval_step))
                             .status());
  }
  if (!job.numbers.start_job.empty()) {
    SEER_RETURN_IF_ERROR(FindCheckpoint(absl::StrCat("jobs/", job.numbers.start_job,
                                                     "/checkpoints/", job.numbers.start_step))
                             .status());
  }
  SEER_RETURN_IF_ERROR(CheckQueueOf(job.numbers));
  int devices = 0;
  for (const auto& [name, worker] : workers_) devices += worker.devices;
  const int ranks = LeastRanks(job.numbers);
  if (workers_.empty() || ranks <= devices) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kNotEnoughDevices,
               absl::StrCat("the job wants ", ranks, ranks == 1 ? " rank" : " ranks",
                            ", but all workers together have ", devices,
                            devices == 1 ? " device" : " devices"))
      .Field("distributed.ranks")
      .Hint("lower distributed.ranks, or add workers; `seer worker list` shows them")
      .With("ranks", absl::StrCat(ranks))
      .With("devices", absl::StrCat(devices));
}

absl::Status Core::CheckQueueOf(const JobNumbers& numbers) const {
  const auto queue = queues_.find(numbers.queue);
  if (queue == queues_.end()) {
    return Error(absl::StatusCode::kNotFound, reason::kQueueNotFound,
                 absl::StrCat("no queue '", numbers.queue, "'"))
        .Field("scheduling.queue")
        .Hint("`seer queue list` shows the queues, `seer queue create` makes one")
        .With("queue", numbers.queue);
  }
  const int ranks = LeastRanks(numbers);
  if (const int64_t limit = LimitOf(queue->second); ranks > limit) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kQueueLimit,
                 absl::StrCat("the job wants ", ranks, " devices, and queue '", numbers.queue,
                              "' never allows more than ", limit))
        .Field("distributed.ranks")
        .Hint(absl::StrCat("lower distributed.ranks, choose another scheduling.queue, or raise the "
                           "limit: `seer queue set ",
                           numbers.queue, " --quota N`"))
        .With("queue", numbers.queue);
  }
  return absl::OkStatus();
}

void Core::On(const command::CreateJob& c, Moment now, Decision& out) {
  if (out.reply.job = CreatedBy(c.request_id); !out.reply.job.empty()) return;
  if (out.reply.status = CheckTrial(c); !out.reply.status.ok()) return;
  if (out.reply.status = CheckCreate(c.job); !out.reply.status.ok()) return;
  Job job = c.job;
  for (uint64_t salt = 0;; ++salt) {  // 32 bits are short to type; a taken one is passed over
    job.id = absl::StrFormat("job_%08x",
                             static_cast<uint32_t>(StableHash(absl::StrCat(c.id_seed, "/", salt))));
    if (!jobs_.contains(job.id)) break;
  }
  if (job.name.empty()) job.name = absl::StrCat("job-", job.id.substr(4));
  job.state = JobState::kQueued;
  job.created = now.wall;
  job.ledger.Open(now);
  job.queue_number = job.number = ++last_queue_number_;
  const std::string id = out.reply.job = job.id;
  waiting_.insert(id);
  Job& stored = jobs_[id] = std::move(job);
  index_.Add(stored);
  NoteTrial(c, id, out);
  LinkChain(stored);
  unsettled_.insert(id);
  if (!c.request_id.empty()) NoteRequest("create/" + c.request_id, id, now, out);
  Changed(stored, out);
  AddEvent(stored, 0, "job_created", "", absl::StrCat("wants ", WantedText(stored.numbers, "rank")),
           now, out);
  schedule_ = true;
}

Job* Core::Addressed(const std::string& name, const std::string& verb,
                     const std::string& request_id, Moment now, Decision& out) {
  const auto found = Find(name);
  if (!found.ok()) {
    out.reply.status = found.status();
    return nullptr;
  }
  out.reply.job = (*found)->id;
  if (request_id.empty()) return &jobs_.at(out.reply.job);
  const std::string key = absl::StrCat(verb, "/", out.reply.job, "/", request_id);
  if (requests_.Find(key) != nullptr) return nullptr;
  NoteRequest(key, out.reply.job, now, out);
  return &jobs_.at(out.reply.job);
}

void Core::On(const command::PauseJob& c, Moment now, Decision& out) {
  Job* const job = Addressed(c.name, "pause", c.request_id, now, out);
  if (job == nullptr) return;
  if (Ended(job->state) || job->cancelling) {
    out.reply.status = WrongState(*job, "paused");
  } else if (job->state == JobState::kPausing || job->state == JobState::kPaused) {
    if (!job->attempt || !DevicesTaken(*job->attempt) || job->attempt->pause_after) return;
    job->attempt->pause_after = true;
    Changed(*job, out);
  } else if (Waiting(job->state)) {
    ChangeState(*job, JobState::kPaused, "", "paused by request", now, out);
    schedule_ = true;
  } else {
    ChangeState(*job, JobState::kPausing, "", "writing a checkpoint", now, out);
    TellRanks(*job, /*kill=*/false, now, out);
  }
}

void Core::On(const command::ResumeJob& c, Moment now, Decision& out) {
  Job* const job = Addressed(c.name, "resume", c.request_id, now, out);
  if (job == nullptr) return;
  const bool elsewhere = c.step != 0 && c.step != NewestCheckpoint(job->id);
  if (job->state != JobState::kPaused) {
    if (elsewhere) {
      out.reply.status = WrongState(*job, absl::StrCat("resumed from step ", c.step));
    } else if (Ended(job->state) || job->state == JobState::kPausing || job->cancelling) {
      out.reply.status = WrongState(*job, "resumed");
    }
    return;
  }
  if (elsewhere) {
    if (out.reply.status = GoBack(*job, c.step, now, out); !out.reply.status.ok()) return;
  }
  job->queue_number = ++last_queue_number_;
  ChangeState(*job, JobState::kQueued, "", "resumed by request", now, out);
  schedule_ = true;
}

void Core::On(const command::CancelJob& c, Moment now, Decision& out) {
  Job* const job = Addressed(c.name, "cancel", c.request_id, now, out);
  if (job == nullptr || job->state == JobState::kCancelled || job->cancelling) return;
  if (Ended(job->state)) {
    out.reply.status = WrongState(*job, "cancelled");
  } else {
    CancelJob(*job, "", c.message, now, out);
  }
}

void Core::CancelJob(Job& job, const std::string& reason, const std::string& message, Moment now,
                     Decision& out) {
  if (job.cancelling) return;
  if (!job.attempt) {
    ChangeState(job, JobState::kCancelled, reason, message, now, out);
    schedule_ = true;
    return;
  }
  job.cancelling = true;
  job.cancel_reason = reason;
  job.cancel_message = message;
  job.message = "cancelling";
  AddEvent(job, job.attempt->number, "cancel_requested", reason, "", now, out);
  TellRanks(job, /*kill=*/true, now, out);
}

void Core::On(const command::WebhookFailed& c, Moment now, Decision& out) {
  const auto job = jobs_.find(c.job);
  if (job != jobs_.end()) AddEvent(job->second, 0, "webhook_failed", "", c.message, now, out);
}

void Core::Changed(Job& job, Decision& out) {
  ++job.changes;
  out.changes.jobs.insert(job.id);
}

void Core::AddEvent(const Job& job, int attempt, const std::string& type, const std::string& reason,
                    const std::string& message, Moment now, Decision& out) {
  Event event;
  event.number = ++last_event_;
  event_history_.Add(event.number, now.wall);
  event.created = now.wall;
  event.job = job.id;
  event.attempt = attempt;
  event.type = type;
  event.reason = reason;
  event.message = message;
  out.changes.events.push_back(std::move(event));
}

void Core::ChangeState(Job& job, JobState to, const std::string& reason, const std::string& message,
                       Moment now, Decision& out) {
  SEER_CHECK(CanChange(job.state, to))
      << job.id << ": " << StateName(job.state) << " -> " << StateName(to);
  AddEvent(job, job.attempt ? job.attempt->number : 0, "job_state_changed", reason, message, now,
           out);
  out.changes.events.back().from = StateName(job.state);
  out.changes.events.back().to = StateName(to);
  CountTime(job, now, out);
  index_.Move(job, to);
  job.state = to;
  if (Waiting(to)) {
    waiting_.insert(job.id);
    unsettled_.insert(job.id);
  } else {
    waiting_.erase(job.id);
    waits_.erase(job.id);
    job.reserved = {};
    job.kept.reset();
  }
  job.reason = reason;
  job.message = message;
  Changed(job, out);
  if (!Ended(to)) return;
  job.ended = now.wall;
  ended_.Add(job.id, job.ended);
  job.cancelling = false;
  UnlinkChain(job);
  if (const auto it = followers_.find(job.id); it != followers_.end())
    unsettled_.insert(it->second.begin(), it->second.end());
  for (const std::string& other : {job.numbers.eval_job, job.numbers.start_job}) {
    if (!other.empty()) Retain(other, now, out);  // it no longer needs its checkpoint
  }
}

}  // namespace seer::coordinator
