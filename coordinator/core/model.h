// What the coordinator knows: jobs, attempts, ranks, checkpoints, workers.
// Values without behaviour.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/activity.h"
#include "coordinator/core/health.h"
#include "coordinator/core/ledger.h"

namespace seer::coordinator {

// Same names and numbers as seer.v1.JobState; a test compares the two.
enum class JobState {
  kQueued = 1,
  kStarting,
  kRunning,
  kPausing,
  kPaused,
  kRestarting,
  kSucceeded,
  kFailed,
  kCancelled
};
using Labels = std::map<std::string, std::string>;

// Whose fault a failure was. Same names and numbers as seer.v1.FailureClass; a test compares the
// two.
enum class FailureClass {
  kNone = 0,  // it did not fail
  kUserError = 1,
  kData,
  kOutOfMemory,
  kDevice,
  kNetwork,
  kStorage,
  kMachine,
  kUnknown
};

// How likely a rank is the first cause of its gang's end; of several the largest is looked for.
enum class Blame {
  kNone = 0,      // it ended well
  kFollowed = 1,  // it lost the others
  kOwn = 2,       // it failed by itself, nobody knows of what
  kKnown = 3,     // of a known cause
  kFinal = 4,     // that another attempt cannot change
};

struct Diagnosis {
  FailureClass failure = FailureClass::kNone;
  Blame blame = Blame::kNone;
  std::string sign;  // what told it, as "exit 13" or "log: No space left on device"
};

enum class RankState { kStarting, kRunning, kExited };

struct Rank {
  std::string worker;
  RankState state = RankState::kStarting;
  int exit_code = 0;  // of an exited one; kLost: nobody saw it end
  std::string reason;
  std::string message;
  bool killed = false;         // told to end at once: its exit is not the cause of anything
  Diagnosis diagnosis;         // of an exited one
  int exited = 0;              // as the how manyth of its gang, from 1; 0: it has not
  int missed = -kAssignGrace;  // heartbeats of its agent without it; not stored
  std::optional<RankActivity> activity = {};  // newest; not stored
  int slow_looks = 0;  // in a row that found it slow; -1: that was said; not stored

  // The assignment may still be on its way for so many heartbeats.
  static constexpr int kAssignGrace = 10;
};

// The agent went away with the rank, or restarted without it.
inline constexpr int kLost = -1;

// One gang. Its id is the fencing token: global, growing, never used again.
struct Attempt {
  int64_t id = 0;
  int number = 0;           // within the job, from 1
  std::vector<Rank> ranks;  // by rank
  // Workers of devices that it holds without a process, one a device: spares, or, while it is
  // resizing, what its next attempt has more.
  std::vector<std::string> spares;
  int64_t holds_since = 0;  // id of the attempt since which its job has held devices
  bool stopping = false;    // the ranks were told to end at once
  std::string stop_reason;  // why, if it was not because a rank had failed
  std::string stop_message;
  FailureClass stop_failure = FailureClass::kNone;  // whose fault that was, what told it, and the
  std::string stop_sign;                            // rank that was its cause; -1: none
  int stop_rank = -1;
  // The job that its devices were taken for; empty: none. From then on it may write a checkpoint,
  // until kill_at.
  std::string preempted_for;
  std::string drained_from;  // or the worker that its gangs were to leave; empty: none
  bool resizing = false;     // or it begins again with more ranks
  absl::Duration kill_at;    // steady time; not stored
  bool pause_after = false;  // a pause was asked for meanwhile
  absl::Time started = absl::InfinitePast();
  int64_t restore_step = 0;             // 0: from scratch
  std::string restore_job;              // whose checkpoint that is; empty: the job's own
  int64_t newest_step = 0;              // that this attempt reported; not stored
  absl::Duration progressed_at;         // steady time of that report or of the start; not stored
  std::optional<int64_t> roll_back_to;  // it is stopped to go on from there: a step, or 0
  HealthWatch health;                   // not stored
  HangWatch hang;                       // not stored
  // Steady time: from when on it grows; none: the devices are not there. Not stored.
  std::optional<absl::Duration> grows_at;
};

// It was told to give its devices up: its job waits for others then, or goes on with more.
inline bool DevicesTaken(const Attempt& attempt) {
  return !attempt.preempted_for.empty() || !attempt.drained_from.empty() || attempt.resizing;
}
inline int64_t DevicesHeld(const Attempt& attempt) {
  return static_cast<int64_t>(attempt.ranks.size() + attempt.spares.size());
}

// Devices that a job keeps from one attempt to the next, for a while.
struct KeptDevices {
  std::vector<std::string>
      workers;        // one a device; those that are lost as well: they may come back
  int64_t since = 0;  // Attempt::holds_since
  int ranks = 0;      // that the attempt had; fewer only after shrinks_at
  absl::Duration until, shrinks_at;  // steady times; not stored
};

struct PlanEntry {
  int64_t first_step = 0;
  int64_t generation = 0;
  bool operator==(const PlanEntry&) const = default;
};

// The newest that rank 0 reported. Stored whenever the job is: not on every report.
struct Progress {
  int64_t step = 0;
  double loss = 0, learning_rate = 0, images_per_second = 0, step_seconds = 0, data_stall_ratio = 0;
  double prototypes_used_ratio = 0, assignment_entropy_nats = 0, feature_std = 0, gradient_norm = 0;
  int64_t skipped_steps = 0;
  double data_wait_seconds = 0, train_seconds = 0, checkpoint_seconds = 0;  // of this attempt
  double first_loss = 0;
  absl::Time updated;
};

struct KnnResult {
  int k = 0;
  double top1_ratio = 0, top5_ratio = 0;
};
struct EvalResult {
  std::vector<KnnResult> knn;
  int64_t train_images = 0, test_images = 0;
};

// Who may use how many devices. See seer.v1.Queue.
struct Queue {
  std::string name;
  std::optional<int64_t> quota, borrow;  // devices; none: no limit
  double weight = 1;
  int max_preemptions_per_hour = 2;
  absl::Duration preemption_grace = absl::Minutes(5);
  int64_t changes = 1;  // the etag
  bool operator==(const Queue&) const = default;
};
// Always there.
inline constexpr const char* kDefaultQueue = "default";

// What a gang asks of its devices.
struct GangShape {
  int ranks = 1;
  // Consecutive ranks [i * group_ranks, (i + 1) * group_ranks) exchange more than others (batch
  // statistics, shards of parameters). At least 1.
  int group_ranks = 1;
  std::string
      within;       // what a group must share: a label's key, kMachineTopology, or empty: nothing
  Labels selector;  // that every worker has; also kDeviceLabel
  auto operator<=>(const GangShape&) const = default;
};
// The same gang with fewer ranks, in groups of the same size; one that was a single group stays
// one.
inline GangShape WithRanks(GangShape shape, int ranks) {
  if (shape.group_ranks == shape.ranks) shape.group_ranks = ranks;
  shape.ranks = ranks;
  return shape;
}

// Which checkpoints are kept. See seer.v1.CheckpointSpec.
struct RetentionPolicy {
  int last = 1;
  int64_t every = 0;
  int best = 0;
};

// A job that another one waits for.
struct After {
  std::string job;       // its id
  bool any_end = false;  // it may end in any way; else it must succeed
  bool operator==(const After&) const = default;
};

// The numbers of a spec that decisions need; the rest is opaque.
struct JobNumbers {
  GangShape shape;           // with all ranks
  std::vector<int> smaller;  // numbers of ranks that do as well, the largest first
  int spares = 0;            // devices besides
  std::string queue = kDefaultQueue;
  int priority = 0;
  bool stop_when_preempted = false;  // else it goes back into the queue
  int64_t steps = 0;
  int max_restarts = 0;
  RetentionPolicy keep;
  int keep_last_when_full = 0;  // in the place of keep.last while storage is low; 0: as it
  bool evaluation = false;
  absl::Duration no_progress_timeout = absl::Minutes(10);
  std::string followed_pool;  // whose newer generations the job goes on with; empty: none
  std::vector<After> after;
  // An evaluation's checkpoint: job and step; empty: none. 0: the newest when the evaluation
  // starts; it is the step from then on.
  std::string eval_job;
  int64_t eval_step = 0;
  std::string start_job;  // the checkpoint that it starts from: job and step; empty: none
  int64_t start_step = 0;
  std::string recipe;     // digest of what training depends on, hex
  bool webhooks = false;  // the spec names some
  HealthMode health = HealthMode::kOff;
  std::vector<HealthRule> health_rules;
  double ln_k = 0;  // the loss of uniform predictions
};

inline int LeastRanks(const JobNumbers& numbers) {
  return numbers.smaller.empty() ? numbers.shape.ranks : numbers.smaller.back();
}

// The newest failure of a job.
struct Failure {
  FailureClass failure = FailureClass::kNone;
  std::string sign, message;
  int attempt = 0;  // its number
  int rank = 0;     // that was its cause
  std::string worker;
  absl::Time time;
};

// A worker that a job would rather not be placed on.
struct Avoided {
  std::string worker;
  absl::Time until;
  bool operator==(const Avoided&) const = default;
};

// Since when the scheduler reserves devices for a job that waits.
struct Reserved {
  int64_t turn = 0;     // smaller: earlier, over all jobs; 0: it does not
  int64_t attempt = 0;  // attempts with larger ids began later
};

struct Job {
  std::string id;    // "job_ab12cd34"
  std::string name;  // metadata.name
  std::string spec;  // serialized, with defaults
  JobNumbers numbers;
  JobState state = JobState::kQueued;
  std::string reason;
  std::string message;
  absl::Time created, started = absl::InfinitePast(), ended = absl::InfinitePast();
  int64_t number = 0;        // grows with each job made
  int64_t queue_number = 0;  // place in the queue: smaller goes first
  std::vector<PlanEntry> plan;
  int attempts = 0;           // made so far
  int restarts = 0;           // of those, after a failure
  std::string restart_class;  // of the newest failure: FailureClassName, or "hang"
  int fruitless = 0;          // failures in a row without a new checkpoint: for the back-off
  int same_class = 0;         // of those, the last that are of one class
  std::optional<Failure> failure;
  std::vector<Avoided> avoided;  // by its next attempts, if others do
  bool cancelling = false;
  std::string cancel_reason, cancel_message;  // as it ends then
  std::optional<Attempt> attempt;             // the live one
  std::optional<KeptDevices> kept;            // while it waits; none: nothing
  absl::Time resized = absl::InfinitePast();  // when an attempt last ended to begin with more
  std::optional<EvalResult> eval;
  double first_loss = 0;
  double data_wait_seconds = 0, train_seconds = 0;  // of attempts that ended
  double device_seconds = 0;                        // that attempts which ended held devices
  std::string sweep, schedule;                      // that made it; empty: none
  std::string traceparent;  // W3C trace context of what made it, opaque here; empty: none
  int64_t changes = 0;      // counts changes: the etag
  Progress progress;
  std::vector<HealthFinding> findings;           // newest last
  std::map<std::string, std::string> overrides;  // of the spec, by health rules
  int roll_backs = 0;                            // by health rules
  Ledger ledger;                                 // where its time went
  int64_t highest_step = 0;  // ever reported: steps up to it are done again after a restart
  int preemptions = 0;       // attempts that ended because another job took its devices
  std::vector<absl::Time> preempted;  // when it was told to, within the last hour
  Reserved reserved;                  // not stored
  absl::Duration not_before = -absl::InfiniteDuration();  // back-off, steady time; not stored
};

// What the attempt's ranks and spares hold stays the job's own until its next attempt: it was
// neither to pause or end, nor to make room for another job. A rank that is done needs nothing
// more.
inline bool KeepsDevices(const Job& job) {
  const Attempt& attempt = *job.attempt;
  return !job.cancelling && !attempt.pause_after && attempt.preempted_for.empty() &&
         (job.state != JobState::kPausing || DevicesTaken(attempt));
}
inline bool HoldsDevice(const Job& job, const Rank& rank) {
  return rank.state != RankState::kExited || (rank.exit_code != 0 && KeepsDevices(job));
}

struct CheckpointFile {
  std::string name;
  int64_t size_bytes = 0;
  std::string sha256;
};
// A person wants it kept.
struct Pin {
  std::string user, reason;
  absl::Time created;
};
struct Checkpoint {
  std::string job;
  int64_t step = 0;
  int attempt = 0;  // number of the attempt that wrote it
  absl::Time created;
  std::vector<CheckpointFile> files;
  bool marked = false;    // the file COMMITTED is written
  bool deleting = false;  // retention took it: invisible, its files go
  bool corrupt = false;   // a restore found it damaged: no attempt starts from it any more
  std::optional<Pin> pin;
  int64_t generation = 0;    // that its last step read; 0: not known
  std::string recipe;        // JobNumbers::recipe; empty: not known
  std::string restored_job;  // what its attempt started from; empty: from scratch
  int64_t restored_step = 0;
};

// Same names and numbers as seer.v1.ProfileState; a test compares the two.
enum class ProfileState { kRequested = 1, kRecording, kDone, kFailed };

// What all ranks of one attempt recorded of the same steps. Not stored.
struct Profile {
  std::string job;
  int64_t number = 0;      // grows from profile to profile, of all jobs
  std::string request_id;  // of the request that made it
  ProfileState state = ProfileState::kRequested;
  std::string reason, message;  // of a failed one
  int64_t attempt_id = 0;
  int attempt = 0;  // its number within the job
  int steps = 0;
  int64_t first_step = 0;            // 0: not known yet
  std::vector<std::string> workers;  // by rank
  absl::Time created;
  absl::Duration ended_at;  // steady time
  // Serialized seer.v1.RankTrace, opaque here, by rank.
  std::map<int, std::shared_ptr<const std::string>> traces;
};

struct Event {
  int64_t number = 0;
  absl::Time created;
  std::string job;
  int attempt = 0;
  std::string type, from, to, reason, message;
  FailureClass failure = FailureClass::kNone;  // of attempt_ended; not stored
};

struct RunningRank {
  int64_t attempt_id = 0;
  std::string job;
  int rank = 0;
};

// Nothing is placed on a worker that has one.
struct Cordon {
  std::string reason;
  bool automatic = false;  // because of its faults
  bool draining = false;   // its gangs are moved away
  absl::Time time;
};

// A failure whose cause lay with the worker.
struct Fault {
  absl::Time time;
  FailureClass failure = FailureClass::kMachine;
  std::string job;
  int attempt = 0;  // its number
  std::string message;
};

struct Worker {
  std::string name, hostname, address, device_kind, version, incarnation;
  int devices = 0;
  Labels labels;
  std::optional<Cordon> cordon;
  std::vector<Fault> faults;  // within CoreOptions::cordon_window, oldest first
  bool up = false;            // its lease runs; not stored
  bool connected = false;     // its stream is open, so that it can be given work; not stored
  absl::Time heard_time = absl::InfinitePast();
};

// Workers of one host share it.
inline const std::string& MachineOf(const Worker& worker) {
  return worker.hostname.empty() ? worker.name : worker.hostname;
}

}  // namespace seer::coordinator
