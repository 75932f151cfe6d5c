// Every decision of the coordinator, and the state that it rests on. Pure: commands and time come
// in, changes and effects go out; the same calls give the same answers.
// Not thread-safe: one loop owns it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/core/command.h"
#include "coordinator/core/cron.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/hang_finding.h"
#include "coordinator/core/history.h"
#include "coordinator/core/job_index.h"
#include "coordinator/core/leases.h"
#include "coordinator/core/model.h"
#include "coordinator/core/moment.h"
#include "coordinator/core/retention.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/core/wait.h"

namespace seer::coordinator {

struct CoreOptions {
  absl::Duration lease = absl::Seconds(15);
  absl::Duration forget_workers_after = absl::Hours(24);  // without a sign of life
  double storage_low_watermark = 0.05;  // storage is low with less of it free; 0: never
  // A worker that is the cause of so many failures within the window is cordoned, as long as half
  // of the machines that are up are left; 0: none is.
  int cordon_after = 3;
  absl::Duration cordon_window = absl::Hours(1);
  // A gang that makes no step for so long, and for kHangSteps of its steps, is looked at.
  absl::Duration hang_after = absl::Seconds(30);
  // How long a job that starts again has what is left of its devices to itself.
  absl::Duration keep_devices = absl::Seconds(30);
  // An elastic gang grows once the devices have been there for so long, and not again for so long.
  absl::Duration grow_after = absl::Seconds(30);
  absl::Duration grow_every = absl::Minutes(5);
  // How long ended jobs, and events, are kept.
  absl::Duration keep_jobs = absl::Hours(24 * 90);
  absl::Duration keep_events = absl::Hours(24 * 90);
};

// What the store gives back at a start.
struct StoredState {
  std::vector<Job> jobs;
  std::vector<Checkpoint> checkpoints;
  std::vector<Worker> workers;
  std::vector<Queue> queues;
  std::vector<JobSchedule> schedules;
  std::vector<Sweep> sweeps;
  std::vector<Request> requests;
  int64_t first_event = 1;  // those with smaller numbers are gone
  int64_t last_event = 0;
  std::vector<EventMark> event_marks;  // of the events that are kept
  int64_t last_attempt = 0;
};

inline constexpr size_t kMaxCordonReason = 500;  // bytes

struct QueueUse {
  int64_t devices = 0;           // that jobs hold, or keep for their next attempts
  int running = 0, waiting = 0;  // jobs
};

struct SweepUse {
  double device_seconds = 0;  // of all trials, until now
  int live = 0;               // trials that have not ended
};

class Core {
 public:
  explicit Core(CoreOptions options) : options_(options), leases_(options.lease) {
    queues_[kDefaultQueue].name = kDefaultQueue;
  }

  // First call. Gangs that ran are waited for during one lease, until their agents have said hello
  // again; nothing is placed meanwhile.
  Decision Load(StoredState state, Moment now);
  Decision Step(const Command& command, Moment now);
  // What most heartbeats are: the worker runs what it should. True: noted, which changes nothing
  // that is stored. False: nothing was done, and the command is to be stepped.
  bool Renew(const command::WorkerHeartbeat& heartbeat, Moment now);

  const std::map<std::string, Job>& jobs() const { return jobs_; }
  const std::map<std::string, Worker>& workers() const { return workers_; }
  const std::map<CheckpointKey, Checkpoint>& checkpoints() const { return checkpoints_; }
  const std::map<std::string, Queue>& queues() const { return queues_; }
  const std::map<std::string, JobSchedule>& schedules() const { return schedules_; }
  const std::map<std::string, Sweep>& sweeps() const { return sweeps_; }
  int64_t last_event() const { return last_event_; }  // its number; 0: nothing has happened yet
  // The oldest that is kept. OUT_OF_RANGE: one that followed number `after` is gone; 0: none.
  int64_t first_event() const { return event_history_.first(); }
  absl::Status CheckEventsAfter(int64_t after) const;
  // Jobs by when they were made, and by name.
  const JobIndex& index() const { return index_; }
  // By id, "jobs/<id>", or name (the newest job of that name). NOT_FOUND with JOB_NOT_FOUND.
  absl::StatusOr<const Job*> Find(const std::string& name) const;
  // "jobs/<job>/checkpoints/<step>", committed and not on its way out.
  // NOT_FOUND with CHECKPOINT_NOT_FOUND.
  absl::StatusOr<const Checkpoint*> FindCheckpoint(const std::string& name) const;
  // "jobs/<job>/profiles/<number>". NOT_FOUND with PROFILE_NOT_FOUND.
  absl::StatusOr<const Profile*> FindProfile(const std::string& name) const;
  // "queues/<queue>", or its name alone. NOT_FOUND with QUEUE_NOT_FOUND.
  absl::StatusOr<const Queue*> FindQueue(const std::string& name) const;
  // "workers/<worker>", or its name alone. NOT_FOUND with WORKER_NOT_FOUND.
  absl::StatusOr<const Worker*> FindWorker(const std::string& name) const;
  QueueUse UseOf(const std::string& queue) const;
  // That its attempt holds, spares too, or that it keeps for its next one.
  int64_t DevicesOf(const Job& job) const;
  // "schedules/<schedule>", or its name alone. NOT_FOUND with SCHEDULE_NOT_FOUND.
  absl::StatusOr<const JobSchedule*> FindSchedule(const std::string& name) const;
  std::optional<absl::Time> NextTime(const JobSchedule& schedule) const;  // none: it is suspended
  std::vector<DueTime> DueTimes(absl::Time now) const;
  // "sweeps/<sweep>", or its name alone. NOT_FOUND with SWEEP_NOT_FOUND.
  absl::StatusOr<const Sweep*> FindSweep(const std::string& name) const;
  SweepUse UseOf(const Sweep& sweep, absl::Time now) const;
  std::vector<DueTrial> DueTrials(absl::Time now) const;
  // The sweep that an earlier CreateSweep with this request id made; empty: none.
  std::string SweepCreatedBy(const std::string& request_id) const {
    const std::string sweep = MadeBy("sweep", request_id);
    return sweeps_.contains(sweep) ? sweep : "";
  }
  double DeviceSecondsOf(const Job& job, absl::Time now) const;  // of all its attempts
  // Why the job waits, by the scheduler's last pass; kNone: it does not, or no pass was since.
  Wait WaitOf(const Job& job) const;
  std::string Explain(const Job& job, const Wait& wait) const;  // one sentence
  // Where its time went until `now`, or its end. They add up to it.
  static TimeShares TimeSharesOf(const Job& job, Moment now);
  // What the scheduler goes by now. With `extra`, which has a queue, as the last of those that
  // wait.
  SchedulerInput InputAt(Moment now, const Job* extra = nullptr) const;
  // The first job by chain.after that has not ended, as the reason why `job` waits; else kNone.
  Wait WaitForOthers(const Job& job) const;
  // What CreateJob would refuse.
  absl::Status CheckCreate(const Job& job) const;
  bool recovering() const { return recovering_; }
  // The job that an earlier CreateJob with this request id made; empty: none.
  std::string CreatedBy(const std::string& request_id) const {
    const std::string job = MadeBy("create", request_id);
    return jobs_.contains(job) ? job : "";
  }
  int64_t NewestCheckpoint(const std::string& job) const;  // that is sound; 0: none
  // What retention says of the checkpoints of `jobs`; by `policy`, if it is given, instead of the
  // jobs' own. Of those that are being deleted: nothing.
  std::map<CheckpointKey, RetentionDecision> Retention(
      const std::set<std::string>& jobs,
      const std::optional<RetentionPolicy>& policy = std::nullopt) const;
  // What PruneCheckpoints would do.
  absl::StatusOr<std::map<CheckpointKey, RetentionDecision>> PlanPrune(
      const command::PruneCheckpoints& c) const;
  // Why storage is low, for people; empty: it is not.
  std::string StorageWarning() const;
  // Share of the storage that is free; nothing: not known.
  std::optional<double> storage_free_ratio() const { return storage_free_ratio_; }
  int64_t last_attempt() const { return last_attempt_; }
  // Those that jobs follow which have not ended.
  std::set<std::string> FollowedPools() const;

 private:
  std::string MadeBy(absl::string_view verb, const std::string& request_id) const;
  void On(const command::CreateJob& c, Moment now, Decision& out);
  void On(const command::PauseJob& c, Moment now, Decision& out);
  void On(const command::ResumeJob& c, Moment now, Decision& out);
  void On(const command::UpdateJob& c, Moment now, Decision& out);
  void On(const command::CancelJob& c, Moment now, Decision& out);
  void On(const command::CreateSchedule& c, Moment now, Decision& out);
  void On(const command::UpdateSchedule& c, Moment now, Decision& out);
  void On(const command::DeleteSchedule& c, Moment now, Decision& out);
  void On(const command::ScheduleRan& c, Moment now, Decision& out);
  void On(const command::CreateSweep& c, Moment now, Decision& out);
  void On(const command::CancelSweep& c, Moment now, Decision& out);
  void On(const command::TrialRefused& c, Moment now, Decision& out);
  void On(const command::WebhookFailed& c, Moment now, Decision& out);
  void On(const command::PinCheckpoint& c, Moment now, Decision& out);
  void On(const command::UnpinCheckpoint& c, Moment now, Decision& out);
  void On(const command::PruneCheckpoints& c, Moment now, Decision& out);
  void On(const command::StorageSpace& c, Moment now, Decision& out);
  void On(const command::CreateQueue& c, Moment now, Decision& out);
  void On(const command::UpdateQueue& c, Moment now, Decision& out);
  void On(const command::DeleteQueue& c, Moment now, Decision& out);
  void On(const command::CordonWorker& c, Moment now, Decision& out);
  void On(const command::UncordonWorker& c, Moment now, Decision& out);
  void On(const command::WorkerHello& c, Moment now, Decision& out);
  void On(const command::WorkerHeartbeat& c, Moment now, Decision& out);
  void On(const command::WorkerGone& c, Moment now, Decision& out);
  void On(const command::RankStarted& c, Moment now, Decision& out);
  void On(const command::RankExited& c, Moment now, Decision& out);
  void On(const command::RankActivities& c, Moment now, Decision& out);
  void On(const command::ReportProgress& c, Moment now, Decision& out);
  void On(const command::ReportCheckpoint& c, Moment now, Decision& out);
  void On(const command::ReportEval& c, Moment now, Decision& out);
  void On(const command::CreateProfile& c, Moment now, Decision& out);
  void On(const command::ReportProfile& c, Moment now, Decision& out);
  void On(const command::PoolGeneration& c, Moment now, Decision& out);
  void On(const command::Tick& c, Moment now, Decision& out);
  void On(const command::CommittedMarked& c, Moment now, Decision& out);
  void On(const command::FilesDeleted& c, Moment now, Decision& out);
  void On(const command::HistoryDeleted& c, Moment now, Decision& out);

  // Old events, request ids, ended jobs and sweeps: a few each time.
  void ForgetHistory(Moment now, Decision& out);
  void ForgetSweeps(Moment now, Decision& out);
  absl::Time RequestsBefore(Moment now) const;  // go
  bool HasCheckpoints(const std::string& job) const;
  // Ids of jobs that other records need.
  std::set<std::string> NeededJobs() const;
  bool ScoresCheckpoint(const Job& job) const;
  bool MayForget(const Job& job, const std::set<std::string>& needed, Moment now) const;
  void NoteRequest(const std::string& id, const std::string& job, Moment now, Decision& out);

  // Of a job that has not ended.
  void CancelJob(Job& job, const std::string& reason, const std::string& message, Moment now,
                 Decision& out);
  absl::Status CheckSweepName(const std::string& name) const;
  absl::Status CheckTrial(const command::CreateJob& c) const;
  void NoteTrial(const command::CreateJob& c, const std::string& job, Decision& out);
  void SettleSweeps(Moment now, Decision& out);  // those that are through, or over their budget
  void EndSweep(Sweep& sweep, SweepState state, const std::string& message, Moment now,
                Decision& out);
  void LinkChain(const Job& job);
  void UnlinkChain(const Job& job);
  absl::Status CheckChain(const Job& job, const JobNumbers& wanted) const;
  // Jobs that wait for others, after one of them ended: those that never can start fail.
  void SettleChains(Moment now, Decision& out);
  void SettleChain(Job& job, Moment now, Decision& out);
  std::string ExplainChain(const Job& job) const;
  absl::Status CheckQueueOf(const JobNumbers& numbers) const;
  // The job of a verb, unless the request was carried out before:
  // then nullptr, and the reply is filled in.
  Job* Addressed(const std::string& name, const std::string& verb, const std::string& request_id,
                 Moment now, Decision& out);
  static absl::Status WrongState(const Job& job, absl::string_view verb);
  absl::StatusOr<Job*> CheckLive(int64_t attempt_id, const std::string& job);
  Job* Live(int64_t attempt_id);
  Rank* LiveRank(const RunningRank& rank, const std::string& worker);
  std::vector<Job*> LiveJobs();
  std::vector<Job*> LiveJobsOn(const std::string& worker);
  void AddLive(const Job& job);

  void Changed(Job& job, Decision& out);
  void ChangeState(Job& job, JobState to, const std::string& reason, const std::string& message,
                   Moment now, Decision& out);
  void AddEvent(const Job& job, int attempt, const std::string& type, const std::string& reason,
                const std::string& message, Moment now, Decision& out);

  void GreetRanks(Job& job, const std::string& worker, bool same_agent,
                  const std::vector<RunningRank>& running, Moment now, Decision& out);
  void ExitRank(Job& job, size_t number, const Evidence& evidence, Moment now, Decision& out);
  void LoseRank(Job& job, size_t number, const std::string& why, Moment now, Decision& out);
  void LoseRanksOf(const std::string& worker, const std::string& why, Moment now, Decision& out);
  void TellRanks(Job& job, bool kill, Moment now, Decision& out);  // to pause or to end
  static absl::Duration GraceOf(const Job& job, Moment now);       // to write a checkpoint
  void Settle(Job& job, Moment now, Decision& out);                // after a rank ended
  void EndAttempt(Job& job, Moment now, Decision& out);            // all ranks have
  void NoteFailure(Job& job, const Attempt& attempt, const Outcome& outcome, Moment now,
                   Decision& out);
  void NoteFault(const Job& job, Worker& worker, Moment now, Decision& out);
  void RestartOrFail(Job& job, const Attempt& attempt, const Outcome& outcome, Moment now,
                     Decision& out);
  void StartAttempt(Job& job, const std::vector<std::string>& placement,
                    std::vector<std::string> spares, Moment now, Decision& out);
  void EndRecovery(Moment now, Decision& out);
  void CheckHealth(Job& job, Moment now, Decision& out);
  // True: the attempt will be stopped for it.
  bool Act(Job& job, const HealthRule& rule, HealthFinding& finding, Moment now, Decision& out);
  // At the end of an attempt that was to: why, for people.
  std::string RollBack(Job& job, const Attempt& attempt, Moment now, Decision& out);
  void EndRolledBack(Job& job, const Attempt& attempt, Moment now, Decision& out);
  // What is not in a class of the job's ledger yet goes into that of its present state.
  static void CountTime(Job& job, Moment now, Decision& out);
  // An attempt's end; then the state changes.
  static void CountLastTime(Job& job, const Attempt& attempt, const Outcome& outcome, Moment now,
                            Decision& out);
  bool AllAgentsBack() const;
  void KillStalled(Moment now, Decision& out);
  absl::Duration HangLimitOf(const Job& job) const;
  void WatchHangs(Moment now, Decision& out);
  void DiagnoseHang(Job& job, Moment now, Decision& out);  // by what its agents have answered
  void AbortHung(Job& job, absl::string_view reason, const std::string& message,
                 const HangFinding& finding, Moment now, Decision& out);
  void NoteSlow(const Job& job, int number, Moment now, Decision& out);  // the rank, if it is
  void SchedulePass(Moment now, Decision& out);
  void PreemptJob(Job& victim, const Job& for_job, Moment now, Decision& out);
  void DrainWorkers(Moment now, Decision& out);
  static bool CanBeGivenWork(const Worker& worker) {
    return worker.up && worker.connected && !worker.cordon;
  }
  void KeepDevices(Job& job, const Attempt& attempt, Moment now);  // for its next attempt
  void ForgetKeptDevices(Moment now, Decision& out);               // whose time is up
  void NoteLack(const Job& job);
  // What the job's attempt would have more, now or later, but for where its ranks are.
  std::optional<WaitingGang> WishOf(const Job& job, Moment now) const;
  void Grow(Job& job, const GangGrowth& growth, const std::vector<std::string>& more, Moment now,
            Decision& out);
  void DropSpares(const std::string& worker, Decision& out);
  void ForgetAttemptOn(const std::string& worker, int64_t attempt_id);
  // Asks the job to write a checkpoint and to give its devices up within its queue's grace time.
  void TakeDevices(Job& job, const char* event, absl::string_view reason, const std::string& why,
                   Moment now, Decision& out);
  void KillPreempted(Moment now, Decision& out);
  void EndPreempted(Job& job, const Attempt& attempt, const Outcome& outcome, Moment now,
                    Decision& out);
  std::string CordonedText(const Labels& selector) const;
  std::string UsersOf(const std::string& queue) const;
  void Retain(const std::string& job, Moment now, Decision& out);
  void LeaveCorruptCheckpoint(const Job& job, const Attempt& attempt, Moment now, Decision& out);
  void Delete(Checkpoint& checkpoint, const std::string& why, Moment now, Decision& out);
  RetentionPolicy KeepingOf(const Job& job) const;
  // Leaves everything beyond `step` behind.
  absl::Status GoBack(const Job& job, int64_t step, Moment now, Decision& out);
  absl::Status CheckGoBack(const Job& job, int64_t step) const;  // whether it may; 0: all goes
  // The checkpoint that the job's next attempt starts from; step 0: from the beginning.
  CheckpointKey StartOf(const Job& job) const;
  std::string StartText(const Job& job) const;  // "from the checkpoint at step 8"
  bool DeletesBeyond(const std::string& job, int64_t step) const;
  void ForgetReports(int64_t attempt_id);
  absl::Status CheckProfile(const command::CreateProfile& c, const Job& job) const;
  void NoteProfile(const command::ReportProgress& c, const Job& job, Decision& out);
  void InterruptProfile(const Job& job, const Attempt& attempt, Moment now, Decision& out);
  void EndProfile(Profile& profile, ProfileState state, const std::string& reason,
                  const std::string& message, Moment now, Decision& out);
  void ForgetProfiles(Moment now);
  bool MakeRoom(const std::string& job, size_t bytes);
  void NotePlan(const std::vector<PlanEntry>& plan, Job& job, Moment now, Decision& out);

  const CoreOptions options_;
  LeaseTable leases_;
  std::map<std::string, Job> jobs_;
  std::map<int64_t, std::string> live_;                   // attempt id -> job id
  std::map<std::string, std::set<int64_t>> attempts_on_;  // worker -> live attempts
  std::set<std::string> keeping_;  // ids of jobs that keep devices, or did a moment ago
  std::set<std::string> lacking_;  // ids of jobs whose attempts have less than they want
  std::map<std::string, Worker> workers_;
  std::map<std::string, Queue> queues_;
  std::map<std::string, JobSchedule> schedules_;
  std::map<std::string, Cron> crons_;  // of schedules, by name; not stored
  std::map<std::string, Sweep> sweeps_;
  JobIndex index_;                                          // of jobs_; not stored
  std::map<std::string, Wait> waits_;                       // job id -> why it waits; not stored
  std::set<std::string> waiting_;                           // ids of jobs that do
  std::map<std::string, std::set<std::string>> followers_;  // job id -> those that wait for it
  std::set<std::string> unsettled_;  // ids of jobs whose chains are to be looked at
  std::map<CheckpointKey, Checkpoint> checkpoints_;
  RequestHistory requests_;  // "create/<request id>" -> job id
  EventHistory event_history_;
  EndedJobs ended_;                 // not stored
  std::set<std::string> deleting_;  // ids of ended jobs whose logs are being deleted; not stored
  // Files that ranks of live attempts reported: (attempt, step) -> rank -> file.
  // Not stored: ranks report until committed.
  std::map<std::pair<int64_t, int64_t>, std::map<int, CheckpointFile>> reports_;
  std::map<std::string, Profile> profiles_;  // job id -> its newest; not stored
  int64_t last_profile_ = 0;
  std::map<std::string, int64_t> newest_generations_;  // of pools that jobs follow; not stored
  std::optional<double> storage_free_ratio_;           // not stored, nor is storage_low_
  bool storage_low_ = false;
  int64_t last_event_ = 0;
  int64_t last_attempt_ = 0;
  int64_t last_queue_number_ = 0;
  bool recovering_ = false;  // agents come back and nothing is placed, until recover_by_
  absl::Duration recover_by_;
  int64_t last_turn_ = 0;  // of reservations
  bool schedule_ = false;  // something that a queue waits for may have changed
};

}  // namespace seer::coordinator
