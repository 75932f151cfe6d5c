// All that can happen to the coordinator:
// what clients, agents and trainers ask for, what time and finished effects bring.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "coordinator/core/job_schedule.h"
#include "coordinator/core/model.h"
#include "coordinator/core/sweep.h"

namespace seer::coordinator {
namespace command {

// --- clients. Repeated with the same request id (if it is not empty) they change nothing
// and give the same job.

// `job` comes with name, spec, numbers and plan; an empty name is replaced by one made of the id.
// ALREADY_EXISTS: JOB_NAME_TAKEN. FAILED_PRECONDITION: NOT_ENOUGH_DEVICES.
// INVALID_ARGUMENT: QUEUE_LIMIT. NOT_FOUND: QUEUE_NOT_FOUND, an evaluation's checkpoint.
struct CreateJob {
  Job job;
  std::string request_id;
  uint64_t id_seed = 0;  // the id derives from it
  int trial =
      0;  // of job.sweep: FAILED_PRECONDITION with SWEEP_CANCELLED if it is not the next one
};
// Verbs: NOT_FOUND, or FAILED_PRECONDITION with WRONG_JOB_STATE.
struct PauseJob {
  std::string name;
  std::string request_id;
};
// With a step: NOT_FOUND with CHECKPOINT_NOT_FOUND; FAILED_PRECONDITION with CHECKPOINT_IN_USE: a
// newer checkpoint, which would be deleted, is pinned or needed.
struct ResumeJob {
  std::string name;
  std::string request_id;
  int64_t step = 0;  // of the checkpoint to go on from; 0: the newest
};
// The job's spec and numbers as they are to be. FAILED_PRECONDITION: WRONG_JOB_STATE. ABORTED with
// ETAG_MISMATCH: `changes` is not 0 and not what it is now, or the job's spec is not `from` any
// more. Errors of CreateJob about queues.
struct UpdateJob {
  std::string name;
  int64_t changes = 0;
  std::string from, spec;
  JobNumbers numbers;
  std::string differences;  // for people
};
struct CancelJob {
  std::string name;
  std::string request_id;
  std::string message = "cancelled by request";  // how it ends
};

// The running attempt is to record `steps` steps on all ranks; see seer.v1.Profiles.CreateProfile
// for what is refused. The request id counts while the profile is kept.
struct CreateProfile {
  std::string job;
  int steps = 0;
  std::string request_id;
};

// --- checkpoints, by "jobs/<job>/checkpoints/<step>". NOT_FOUND with CHECKPOINT_NOT_FOUND.
// INVALID_ARGUMENT: a text is too long, or there is no user.
struct PinCheckpoint {
  std::string name;
  std::string user, reason;
};
struct UnpinCheckpoint {
  std::string name;
};
// NOT_FOUND with JOB_NOT_FOUND. INVALID_ARGUMENT with OUT_OF_RANGE.
struct PruneCheckpoints {
  std::string job;
  // In the place of the job's own policy.
  std::optional<int> keep_last;
  std::optional<int64_t> keep_every;
  std::optional<int> keep_best;
};

// --- schedules. NOT_FOUND with SCHEDULE_NOT_FOUND. ABORTED with ETAG_MISMATCH, as queues.
// INVALID_ARGUMENT: the times cannot be read. ALREADY_EXISTS with SCHEDULE_EXISTS.
struct CreateSchedule {
  JobSchedule schedule;
};
struct UpdateSchedule {
  JobSchedule schedule;  // times, spec, overlap and suspended as they are to be
  int64_t changes = 0;
};
struct DeleteSchedule {
  std::string name;
  int64_t changes = 0;
};
// A due time was carried out. One that was so already changes nothing.
struct ScheduleRan {
  std::string schedule;
  absl::Time time;
  std::string job;      // id of the job that was made; empty: none
  std::string message;  // why none
};

// --- sweeps. NOT_FOUND with SWEEP_NOT_FOUND. ALREADY_EXISTS with SWEEP_EXISTS.
struct CreateSweep {
  Sweep sweep;
  std::string request_id;
  uint64_t id_seed = 0;
};
struct CancelSweep {
  std::string name;
};
// The next trial cannot be made.
struct TrialRefused {
  std::string sweep, id;
  int trial = 0;
  std::string message;
};

// A webhook of the job was given up.
struct WebhookFailed {
  std::string job;  // its id
  std::string message;
};

// --- queues. INVALID_ARGUMENT: a value is out of its range. NOT_FOUND: QUEUE_NOT_FOUND.
// ABORTED with ETAG_MISMATCH: `changes` is not 0, and not what it is now.
// ALREADY_EXISTS: QUEUE_EXISTS.
struct CreateQueue {
  Queue queue;
};
struct UpdateQueue {
  Queue queue;  // as it is to be
  int64_t changes = 0;
};
// FAILED_PRECONDITION: QUEUE_IN_USE.
struct DeleteQueue {
  std::string name;
  int64_t changes = 0;
};

// --- workers, by "workers/<worker>" or the name alone. NOT_FOUND: WORKER_NOT_FOUND.
// INVALID_ARGUMENT with OUT_OF_RANGE: the reason is longer than kMaxCordonReason.
struct CordonWorker {
  std::string worker;
  std::string reason;
  bool drain = false;  // its gangs are to leave as well
};
struct UncordonWorker {
  std::string worker;
};

// --- agents
struct WorkerHello {
  Worker worker;
  std::vector<RunningRank> running;
};
struct WorkerHeartbeat {
  std::string worker;
  std::vector<RunningRank> running;
};
// Its stream ended. The lease runs on: the agent may come back.
struct WorkerGone {
  std::string worker;
};
struct RankStarted {
  std::string worker;
  RunningRank rank;
};
struct RankExited {
  std::string worker;
  RunningRank rank;
  int exit_code = 0;
  std::string reason, message;
  std::vector<std::string> lines = {};  // the last of its output, oldest first
  bool oom_killed = false;              // the kernel ended it for want of memory
  std::optional<bool> prompted = {};    // its agent had sent it a signal; none: it does not say
  std::string device_fault = {};        // what the kernel said of its device; empty: nothing
};
// What its ranks do, once a while and when it was asked.
struct RankActivities {
  struct One {
    RankActivity activity;  // its times are set when it comes in
    RunningRank rank;
  };
  std::string worker;
  std::vector<One> ranks;
};

// --- trainers. FAILED_PRECONDITION with STALE_ATTEMPT: not the job's live attempt.
struct ReportProgress {
  int64_t attempt_id = 0;
  std::string job;  // "jobs/<id>"
  Progress progress;
  int64_t profile = 0;  // number of the newest profile that was begun; 0: none
  int64_t profile_first_step = 0;
  std::vector<PlanEntry> plan;  // as the ranks follow it; empty: they do not say
};
struct ReportCheckpoint {
  int64_t attempt_id = 0;
  std::string job;
  int rank = 0;
  int world_size = 0;
  int64_t step = 0;
  CheckpointFile file;
  std::vector<PlanEntry> plan;  // as in ReportProgress
};
struct ReportEval {
  int64_t attempt_id = 0;
  std::string job;
  EvalResult result;
};

// NOT_FOUND with PROFILE_NOT_FOUND: nobody waits for it any more.
struct ReportProfile {
  int64_t attempt_id = 0;
  std::string job;
  int rank = 0;
  int64_t profile = 0;  // its number
  int64_t first_step = 0;
  std::shared_ptr<const std::string> trace;
};

// --- the data service: the newest committed generation of a pool
struct PoolGeneration {
  std::string pool;
  int64_t generation = 0;
};

// --- object storage, where it is a file system
struct StorageSpace {
  int64_t free_bytes = 0;
  int64_t total_bytes = 0;
};

// --- time (about once a second: leases, stalled gangs, the queue) and effects that are done
struct Tick {};
struct CommittedMarked {
  std::string job;
  int64_t step = 0;
};
struct FilesDeleted {
  std::string job;
  int64_t step = 0;
};
struct HistoryDeleted {
  std::string job;
};

}  // namespace command

using Command = std::variant<
    command::CreateJob, command::PauseJob, command::ResumeJob, command::UpdateJob,
    command::CancelJob, command::CreateSchedule, command::UpdateSchedule, command::DeleteSchedule,
    command::ScheduleRan, command::CreateSweep, command::CancelSweep, command::TrialRefused,
    command::WebhookFailed, command::PinCheckpoint, command::UnpinCheckpoint,
    command::PruneCheckpoints, command::StorageSpace, command::CreateQueue, command::UpdateQueue,
    command::DeleteQueue, command::CordonWorker, command::UncordonWorker, command::WorkerHello,
    command::WorkerHeartbeat, command::WorkerGone, command::RankStarted, command::RankExited,
    command::RankActivities, command::ReportProgress, command::ReportCheckpoint,
    command::ReportEval, command::CreateProfile, command::ReportProfile, command::PoolGeneration,
    command::Tick, command::CommittedMarked, command::FilesDeleted, command::HistoryDeleted>;

}  // namespace seer::coordinator
