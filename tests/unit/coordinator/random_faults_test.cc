// A cluster in one thread: the real core and a store in memory, with jobs that preempt each other,
// elastic ones and ones with spares among them,
// agents and trainers that die, hang, hang up, freeze, come back, and whose messages are lost, come
// twice, or come seconds later and so out of order, by seed. After every step the invariants hold;
// when the faults stop, every job comes to its end. SEER_SIMULATIONS=10000 runs so many seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"
#include "coordinator/core/core.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/core/job_states.h"
#include "coordinator/core/wait.h"
#include "coordinator/store/record_json.h"
#include "coordinator/store/store.h"

namespace seer::coordinator {
namespace {

constexpr int64_t kSteps = 30, kEvery = 7;
constexpr absl::Duration kKeepJobs = absl::Seconds(20), kKeepEvents = absl::Seconds(50);

struct Trainer {
  std::string job;
  int64_t attempt = 0;
  int rank = 0;
  int world = 1;
  int64_t step = 0, first = 0;
  int64_t wrote = 0;  // its file of the newest checkpoint
  bool pausing = false, killed = false, unreadable = false;
  bool stuck = false;  // does nothing until it is killed
  int still = 0;       // seconds since it last did something
};
struct Agent {
  std::string name;
  int devices = 0;
  bool alive = true, connected = false;
  int incarnation = 1;
  int frozen = 0;  // for so many seconds more: silent on an open stream, and its ranks with it
  std::map<std::pair<int64_t, int>, Trainer> ranks;
  std::deque<command::RankExited> unreported;  // said again until the coordinator has it
  bool asked = false;                          // what its ranks do
};

class World {
 public:
  explicit World(uint64_t seed)
      : random_(seed, RandomPurpose::kTest, 1), store_(MakeMemoryStore()) {
    for (int i = 0; i < 3; ++i) agents_.push_back({absl::StrCat("w", i), 1 + i});
    Boot();
  }

  void Run() {
    for (int second = 0; second < 400 && !::testing::Test::HasFailure(); ++second)
      Second(/*faults=*/second < 250);
    for (const auto& [id, job] : core_->jobs()) {
      if (job.state == JobState::kPaused) Do(command::ResumeJob{id, ""});
    }
    for (const auto& [name, schedule] : core_->schedules()) {
      // Nothing was left out: its last time is not a period old.
      if (!schedule.suspended)
        EXPECT_GT(std::max(schedule.last, schedule.since) + absl::Minutes(1), now_.wall);
    }
    while (!core_->schedules().empty())
      Do(command::DeleteSchedule{core_->schedules().begin()->first});
    for (const Agent& agent : agents_) {
      const auto worker = core_->workers().find(agent.name);
      if (worker == core_->workers().end() || !worker->second.cordon) continue;
      Do(command::UncordonWorker{agent.name});
    }
    for (int second = 0; second < 1500 && !AllEnded() && !::testing::Test::HasFailure(); ++second)
      Second(/*faults=*/false);
    EXPECT_TRUE(AllEnded()) << Describe();
    EXPECT_GT(committed_, 0);
  }
  int cordons() const { return cordons_; }
  int roll_backs() const {
    int all = 0;
    for (const auto& [id, job] : seen_) all += job.roll_backs;
    return all;
  }
  int forgotten() const { return forgotten_; }
  int restarts() const { return coordinator_restarts_; }
  int hangs() const { return hangs_; }
  int growths() const { return growths_; }
  int small_starts() const { return small_starts_; }
  int spared_starts() const { return spared_starts_; }
  int preemptions() const {
    int all = 0;
    for (const auto& [id, job] : seen_) all += job.preemptions;
    return all;
  }

 private:
  bool Chance(double probability) { return random_.Uniform() < probability; }
  bool AllEnded() const {
    return std::all_of(core_->jobs().begin(), core_->jobs().end(),
                       [](const auto& item) { return Ended(item.second.state); }) &&
           std::all_of(core_->sweeps().begin(), core_->sweeps().end(),
                       [](const auto& item) { return item.second.state != SweepState::kRunning; });
  }
  std::string Describe() const {
    std::string out;
    for (const auto& [id, job] : core_->jobs())
      absl::StrAppend(&out, id, " ", StateName(job.state), " ", job.message, "\n");
    return out;
  }

  // As after SIGKILL: what was decided but not yet sent is lost, streams break.
  void Boot() {
    core_ = std::make_unique<Core>(CoreOptions{.cordon_after = 2,
                                               .keep_devices = absl::Seconds(10),
                                               .grow_after = absl::Seconds(4),
                                               .grow_every = absl::Seconds(20),
                                               .keep_jobs = kKeepJobs,
                                               .keep_events = kKeepEvents});
    Decision decision = core_->Load(store_->Load().value(), now_);
    for (Agent& agent : agents_) agent.connected = false;
    files_.clear();
    Carry(decision.effects, /*lose=*/false);
  }

  Reply Do(const Command& command, bool crash = false) {
    Decision decision = core_->Step(command, now_);
    if (crash && Chance(0.5)) {  // before the commit: nothing happened
      ++coordinator_restarts_;
      Boot();
      return {absl::UnavailableError("crashed"), "", false};
    }
    EXPECT_TRUE(store_->Apply(decision.changes, *core_).ok());
    CheckDecision(decision);
    CheckForgotten(decision);
    CheckCore();
    if (crash) {  // after the commit: no effect left
      ++coordinator_restarts_;
      Boot();
      return {absl::UnavailableError("crashed"), "", false};
    }
    Carry(decision.effects, /*lose=*/true);
    return decision.reply;
  }

  void CheckDecision(const Decision& decision) {
    for (const Event& event : decision.changes.events) {
      EXPECT_EQ(event.number, ++last_event_);
      cordons_ += event.type == "worker_cordoned";
      if (event.type == "hang_found") CheckHang(*core_->jobs().at(event.job).attempt);
      growths_ += event.type == "gang_resized";
    }
    std::map<int64_t, int> assigned;
    for (const AssignRank& assign : decision.effects.assign) ++assigned[assign.attempt_id];
    for (const auto& [id, job] : core_->jobs()) {
      if (!job.attempt || !assigned.contains(job.attempt->id)) continue;
      const int64_t attempt = job.attempt->id;
      const auto [known, fresh] = attempts_.emplace(attempt, id);
      EXPECT_EQ(known->second, id) << "attempt number used twice";
      if (!fresh) continue;  // said again to an agent that lacks it
      EXPECT_GT(attempt, newest_attempt_);
      for (const After& after : job.numbers.after) {
        const JobState state = core_->jobs().at(after.job).state;
        EXPECT_TRUE(after.any_end ? Ended(state) : state == JobState::kSucceeded)
            << "it did not wait for " << after.job;
      }
      for (const Rank& rank : job.attempt->ranks)
        EXPECT_FALSE(core_->workers().at(rank.worker).cordon) << "placed on a cordoned worker";
      const int ranks = static_cast<int>(job.attempt->ranks.size());
      EXPECT_EQ(assigned[attempt], ranks) << "a gang placed half";
      worlds_[{id, job.attempt->number}] = ranks;
      small_starts_ += ranks < job.numbers.shape.ranks;
      spared_starts_ += !job.attempt->spares.empty();
      EXPECT_TRUE(job.attempt->spares.empty() || ranks == job.numbers.shape.ranks)
          << "spares, but ranks are missing";
    }
    if (!attempts_.empty()) newest_attempt_ = attempts_.rbegin()->first;
    if (decision.scheduled) CheckKept();
  }

  bool CanBeGivenWork(const std::string& name) const {
    const auto it = core_->workers().find(name);
    return it != core_->workers().end() && it->second.up && it->second.connected &&
           !it->second.cordon;
  }

  // Only what ended long ago goes, and nothing that is left needs it.
  void CheckForgotten(const Decision& decision) {
    const std::set<std::string>& gone = decision.changes.removed_jobs;
    for (const std::string& id : gone) {
      ++forgotten_;
      EXPECT_FALSE(core_->jobs().contains(id));
      EXPECT_TRUE(Ended(seen_.at(id).state)) << id;
      EXPECT_LT(seen_.at(id).ended, now_.wall - kKeepJobs) << id;
      EXPECT_TRUE(histories_.contains(id)) << "its logs were not deleted";
      for (const Event& event : store_->Events(id, 0, 1000).value()) ADD_FAILURE() << event.type;
    }
    if (decision.changes.first_event > 0) {
      const auto oldest = store_->Events("", 0, 1).value();
      EXPECT_TRUE(oldest.empty() || oldest[0].number >= core_->first_event());
    }
    const auto kept = [&](const std::string& id, const char* by) {
      EXPECT_TRUE(id.empty() || core_->jobs().contains(id)) << id << " is needed by " << by;
    };
    for (const auto& [id, job] : core_->jobs()) {
      if (Ended(job.state)) continue;
      for (const After& after : job.numbers.after) kept(after.job, id.c_str());
      if (job.attempt) kept(job.attempt->restore_job, id.c_str());
    }
    for (const auto& [key, checkpoint] : core_->checkpoints()) {
      kept(key.first, "its checkpoint");
      kept(checkpoint.restored_job, "a checkpoint");
    }
    for (const auto& [name, schedule] : core_->schedules()) kept(schedule.last_job, name.c_str());
    for (const auto& [name, sweep] : core_->sweeps()) {
      if (sweep.state != SweepState::kRunning) continue;
      for (const SweepTrialRecord& trial : sweep.made) kept(trial.job, name.c_str());
    }
  }

  // A job that kept enough devices has started, whoever else wants them.
  void CheckKept() {
    for (const auto& [id, job] : core_->jobs()) {
      if (!job.kept) continue;
      EXPECT_TRUE(Waiting(job.state)) << id << " " << StateName(job.state);
      const WaitReason why = core_->WaitOf(job).reason;
      if (why == WaitReason::kBackoff || why == WaitReason::kDeletion) continue;
      EXPECT_LT(core_->DevicesOf(job), LeastRanks(job.numbers)) << WaitReasonName(why);
    }
  }

  // Nobody is blamed but a rank that was stuck.
  void CheckHang(const Attempt& attempt) {
    ++hangs_;
    EXPECT_TRUE(attempt.stopping);
    EXPECT_EQ(attempt.stop_reason, reason::kHung);
    EXPECT_TRUE(stuck_.contains({attempt.id, attempt.stop_rank})) << attempt.stop_message;
  }

  void CheckCore() {
    std::set<int64_t> live;
    std::map<std::string, int> used;
    for (const auto& [id, job] : core_->jobs()) {
      EXPECT_EQ(job.attempt.has_value(), Active(job.state)) << id << " " << StateName(job.state);
      CheckLedger(job);
      if (!job.attempt) continue;
      EXPECT_TRUE(live.insert(job.attempt->id).second);
      const int ranks = static_cast<int>(job.attempt->ranks.size());
      const auto& smaller = job.numbers.smaller;
      EXPECT_TRUE(ranks == job.numbers.shape.ranks ||
                  std::count(smaller.begin(), smaller.end(), ranks) == 1)
          << ranks << " ranks are not among those that do";
      for (const Rank& rank : job.attempt->ranks) used[rank.worker] += HoldsDevice(job, rank);
      for (const std::string& worker : job.attempt->spares) {
        ++used[worker];
        EXPECT_TRUE(core_->workers().at(worker).up || core_->recovering())
            << "a spare on a lost worker";
        EXPECT_FALSE(core_->workers().at(worker).cordon) << "a spare on a cordoned worker";
      }
      if (!job.attempt->resizing)
        EXPECT_LE(static_cast<int>(job.attempt->spares.size()), job.numbers.spares);
    }
    for (const auto& [id, job] : core_->jobs()) {
      if (!job.kept) continue;
      for (const std::string& worker : job.kept->workers) ++used[worker];
    }
    for (const Agent& agent : agents_)
      EXPECT_LE(used[agent.name], agent.devices) << agent.name << " holds more than it has";
    CheckSources();
    for (const CheckpointKey& key : pinned_) {
      const auto it = core_->checkpoints().find(key);
      EXPECT_TRUE(it != core_->checkpoints().end() && it->second.pin && !it->second.deleting)
          << "a pinned checkpoint was deleted";
    }
    for (const auto& [key, checkpoint] : core_->checkpoints()) {
      const auto it = reported_.find({key.first, key.second, checkpoint.attempt});
      const int world = worlds_.at({key.first, checkpoint.attempt});
      EXPECT_TRUE(it != reported_.end() && static_cast<int>(it->second.size()) == world)
          << "visible, but not written by all ranks";
      if (checkpoint.deleting || checkpoint.corrupt) continue;
      EXPECT_GE(static_cast<int>(stored_[key].size()), world) << "its files were deleted";
    }
  }

  // Every second is in exactly one class; a clock that is set while no coordinator runs counts.
  void CheckLedger(const Job& job) {
    const auto made = made_.emplace(job.id, now_.steady).first->second;
    const auto ended =
        Ended(job.state) ? ended_.emplace(job.id, now_.steady).first->second : now_.steady;
    double all = 0;
    for (const double seconds : Core::TimeSharesOf(job, now_)) {
      EXPECT_GE(seconds, 0);
      all += seconds;
    }
    EXPECT_NEAR(all, absl::ToDoubleSeconds(ended - made), 1e-6 + absl::ToDoubleSeconds(clock_set_))
        << job.id << " " << StateName(job.state);
  }

  // Every trial and every time has one job at most, and sweeps keep to their limits.
  void CheckSources() {
    for (const auto& [id, job] : core_->jobs()) {
      Seen& seen = seen_[id];
      seen.state = job.state;
      seen.ended = job.ended;
      seen.roll_backs = job.roll_backs;
      seen.preemptions = job.preemptions;
      seen.sweep = job.sweep;
      if (!job.schedule.empty())
        EXPECT_EQ(made_by_schedules_.emplace(job.name, id).first->second, id);
    }
    std::map<std::string, int> trials;
    for (const auto& [id, job] : seen_) ++trials[job.sweep];
    for (const auto& [name, sweep] : core_->sweeps()) {
      EXPECT_EQ(trials[name], static_cast<int>(sweep.made.size())) << "a trial was made twice";
      EXPECT_LE(trials[name], sweep.trials);
      const SweepUse use = core_->UseOf(sweep, now_.wall);
      EXPECT_LE(use.live, sweep.parallel);
      if (sweep.state == SweepState::kDone) EXPECT_EQ(use.live, 0);
    }
  }

  // As JobSources does it.
  void MakeDue() {
    for (const DueTime& due : core_->DueTimes(now_.wall)) {
      command::ScheduleRan ran{due.schedule, due.time, "", ""};
      if (!due.running.empty() && due.overlap == Overlap::kSkip) {
        ran.message = "has not ended";
      } else {
        if (!due.running.empty() && due.overlap == Overlap::kReplace)
          Do(command::CancelJob{due.running, ""});
        command::CreateJob create =
            SmallJob(absl::StrCat(due.schedule, "-", absl::ToUnixSeconds(due.time)));
        create.job.schedule = due.schedule;
        const Reply made = Do(create, faults_ && Chance(0.2));
        if (!made.status.ok()) continue;  // a later round
        ran.job = made.job;
      }
      Do(ran, faults_ && Chance(0.2));
    }
    for (const DueTrial& due : core_->DueTrials(now_.wall)) {
      command::CreateJob create = SmallJob(absl::StrCat(due.sweep, "-", due.number));
      create.request_id = absl::StrCat("sweep/", due.id, "/", due.number);
      create.job.sweep = due.sweep;
      create.trial = due.number;
      Do(create, faults_ && Chance(0.2));
      if (faults_ && Chance(0.2)) Do(create);  // the answer was lost: it is made again
    }
  }
  command::CreateJob SmallJob(const std::string& name) {
    command::CreateJob create;
    create.job.name = name;
    create.job.plan = TrainingPlan(1);
    create.job.numbers.steps = kSteps;
    create.job.numbers.max_restarts = 1000;
    create.job.numbers.no_progress_timeout = absl::Seconds(60);
    create.request_id = absl::StrCat("of ", name);
    create.id_seed = random_.Next64();
    return create;
  }
  void CreateSources() {
    if (core_->schedules().empty() && Chance(0.01)) {
      JobSchedule schedule;
      schedule.name = absl::StrCat("s", absl::ToUnixSeconds(now_.wall));
      schedule.cron = "* * * * *";
      schedule.overlap = static_cast<Overlap>(1 + random_.Below(3));
      EXPECT_TRUE(Do(command::CreateSchedule{schedule}).status.ok());
    }
    if (!swept_ && Chance(0.02)) {
      swept_ = true;
      Sweep sweep;
      sweep.name = "sweep";
      sweep.trials = 1 + static_cast<int>(random_.Below(4));
      sweep.parallel = 1 + static_cast<int>(random_.Below(2));
      sweep.budget_device_seconds = Chance(0.3) ? 60 : 0;
      EXPECT_TRUE(Do(command::CreateSweep{sweep, "once", random_.Next64()}).status.ok());
      EXPECT_TRUE(Do(command::CreateSweep{sweep, "once", random_.Next64()}).status.ok());
    }
    if (Chance(0.001)) Do(command::CancelSweep{"sweep"});
  }

  void Carry(const Effects& effects, bool lose) {
    for (const AssignRank& assign : effects.assign) {
      Agent& agent = Find(assign.worker);
      const Job& job = core_->jobs().at(assign.job);
      if (!agent.connected || (lose && faults_ && Chance(0.05))) continue;
      EXPECT_EQ(job.attempt->restore_step, core_->NewestCheckpoint(job.id));
      if (Knows(agent, assign.attempt_id, assign.rank)) continue;
      agent.ranks[{assign.attempt_id, assign.rank}] = {assign.job,
                                                       assign.attempt_id,
                                                       assign.rank,
                                                       static_cast<int>(job.attempt->ranks.size()),
                                                       job.attempt->restore_step,
                                                       job.attempt->restore_step};
      agent.ranks[{assign.attempt_id, assign.rank}].unreadable =
          job.attempt->restore_step > 0 && faults_ && Chance(0.25);
    }
    for (const StopRanks& stop : effects.stop) {
      Agent& agent = Find(stop.worker);
      if (!agent.connected || (lose && faults_ && Chance(0.05))) continue;
      for (auto& [key, trainer] : agent.ranks) {
        if (key.first == stop.attempt_id) (stop.kill ? trainer.killed : trainer.pausing) = true;
      }
    }
    for (const InspectRanks& inspect : effects.inspect) {
      Agent& agent = Find(inspect.worker);
      if (agent.connected && !(lose && faults_ && Chance(0.05))) agent.asked = true;
    }
    for (const CheckpointKey& key : effects.mark_committed)
      files_.push_back(command::CommittedMarked{key.first, key.second});
    for (const CheckpointKey& key : effects.delete_files)
      files_.push_back(command::FilesDeleted{key.first, key.second});
    for (const std::string& job : effects.delete_history) {
      histories_.insert(job);
      files_.push_back(command::HistoryDeleted{job});
    }
  }

  static bool Knows(const Agent& agent, int64_t attempt, int rank) {
    return agent.ranks.contains({attempt, rank}) ||
           std::any_of(agent.unreported.begin(), agent.unreported.end(), [&](const auto& exited) {
             return exited.rank.attempt_id == attempt && exited.rank.rank == rank;
           });
  }

  Agent& Find(const std::string& name) {
    return *std::find_if(agents_.begin(), agents_.end(),
                         [&](const Agent& agent) { return agent.name == name; });
  }

  void Second(bool faults) {
    faults_ = faults;
    now_.wall += absl::Seconds(1);
    now_.steady += absl::Seconds(1);
    const bool crash = faults && Chance(0.02);
    if (faults && Chance(0.005)) {  // the clock is set
      const auto by = absl::Seconds(static_cast<int64_t>(random_.Below(900)) - 300);
      now_.wall += by;
      clock_set_ += absl::AbsDuration(by);
    }
    if (faults) {
      Disturb();
      CreateSources();
    }
    MakeDue();
    for (Agent& agent : agents_) Beat(agent);
    Train();
    for (size_t left = late_.size(); left > 0; --left) {
      const Command again = late_.front();
      late_.pop_front();
      if (faults_ && Chance(0.8)) {
        late_.push_back(again);
        continue;
      }
      Again(again);
    }
    for (size_t left = files_.size(); left > 0 && !files_.empty(); --left) {
      const Command done = files_.front();
      files_.pop_front();
      if (faults_ && Chance(0.97)) {  // storage is slow
        files_.push_back(done);
        continue;
      }
      if (const auto* deleted = std::get_if<command::FilesDeleted>(&done))
        stored_.erase({deleted->job, deleted->step});
      Do(done);
    }
    Do(command::Tick{}, crash);
  }

  bool IsLive(const std::string& job, int64_t attempt) const {
    const auto it = core_->jobs().find(job);
    return it != core_->jobs().end() && it->second.attempt && it->second.attempt->id == attempt;
  }

  // The same message once more, when the world may have moved on: what is not of the live attempt
  // is refused.
  void Again(const Command& command) {
    const auto fenced = [&](const auto& report) {
      const bool live = IsLive(report.job.substr(5), report.attempt_id);
      const Reply reply = Do(command);
      if (!live) EXPECT_TRUE(HasReason(reply.status, reason::kStaleAttempt)) << reply.status;
    };
    if (const auto* progress = std::get_if<command::ReportProgress>(&command))
      return fenced(*progress);
    if (const auto* checkpoint = std::get_if<command::ReportCheckpoint>(&command)) {
      // Its files are gone once their deletion is through: no trainer says so then.
      const std::set<int>& files = stored_[{checkpoint->job.substr(5), checkpoint->step}];
      if (files.contains(checkpoint->rank)) fenced(*checkpoint);
      return;
    }
    Do(command);
  }
  void Later(const Command& command) {
    if (faults_ && Chance(0.03)) late_.push_back(command);
  }

  void Disturb() {
    if (Chance(0.03)) {  // it ends without a checkpoint, now or soon
      command::CreateJob create = SmallJob(absl::StrCat("short", absl::ToUnixSeconds(now_.wall)));
      create.job.numbers.shape.ranks = 1 + static_cast<int>(random_.Below(6));
      if (const Reply made = Do(create); made.status.ok()) Do(command::CancelJob{made.job, ""});
    }
    if (core_->jobs().size() < 6 && Chance(0.1)) {
      command::CreateJob create;
      create.job.name = absl::StrCat("job", core_->jobs().size());
      create.job.plan = TrainingPlan(1);
      create.job.numbers.shape.ranks = 1 + static_cast<int>(random_.Below(6));
      if (Chance(0.5)) {
        for (int ranks = create.job.numbers.shape.ranks - 1; ranks > 0; --ranks)
          if (Chance(0.7)) create.job.numbers.smaller.push_back(ranks);
      }
      if (Chance(0.3)) create.job.numbers.spares = 1 + static_cast<int>(random_.Below(2));
      create.job.numbers.priority = static_cast<int>(random_.Below(2));
      create.job.numbers.steps = kSteps;
      create.job.numbers.max_restarts = Chance(0.2) ? 2 : 1000;
      create.job.numbers.keep.last = 1 + static_cast<int>(random_.Below(2));
      create.job.numbers.no_progress_timeout = absl::Seconds(60);
      if (Chance(0.3)) {  // while there are faults its signal is bad now and then
        create.job.numbers.health = HealthMode::kAct;
        HealthRule& rule = create.job.numbers.health_rules.emplace_back();
        rule.name = "unwell";
        rule.signal = HealthSignal::kGradientNorm;
        rule.bound = 0.97;
        rule.action = Chance(0.3) ? HealthAction::kPause : HealthAction::kRollBack;
        rule.set = {{"optim.lr", "0.1"}};
      }
      if (!core_->jobs().empty() && Chance(0.3)) {
        const auto at = static_cast<ptrdiff_t>(random_.Below(core_->jobs().size()));
        create.job.numbers.after.push_back(
            {std::next(core_->jobs().begin(), at)->first, /*any_end=*/Chance(0.5)});
      }
      create.request_id = create.job.name;
      create.id_seed = random_.Next64();
      const Reply first = Do(create);
      const size_t jobs = core_->jobs().size();
      const Reply again = Do(create);  // repeated: the same job, once
      if (first.status.ok()) {
        EXPECT_EQ(first.job, again.job);
        EXPECT_TRUE(core_->jobs().contains(first.job)) << "a request led to a job that is gone";
        EXPECT_EQ(core_->jobs().size(), jobs);
      }
    }
    std::vector<std::string> ids;
    for (const auto& [id, job] : core_->jobs()) ids.push_back(id);
    for (const std::string& id : ids) {
      if (Chance(0.01)) Do(command::PauseJob{id, ""});
      if (Chance(0.05)) Do(command::ResumeJob{id, ""});
      if (Chance(0.001)) Do(command::CancelJob{id, ""});
      if (Chance(0.01)) Update(id);
    }
    ChooseCheckpoints();
    for (Agent& agent : agents_) {
      if (Chance(0.004)) Do(command::CordonWorker{agent.name, "", /*drain=*/Chance(0.7)});
      if (Chance(0.03)) Do(command::UncordonWorker{agent.name});
      if (agent.connected && Chance(0.02)) {
        agent.connected = false;
        Do(command::WorkerGone{agent.name});
      }
      if (Chance(0.01)) {  // SIGKILL: its ranks die with it
        if (agent.connected) Do(command::WorkerGone{agent.name});
        agent.alive = agent.connected = false;
        agent.ranks.clear();
        agent.unreported.clear();
        ++agent.incarnation;
      }
      if (Chance(0.005)) agent.frozen = 5 + static_cast<int>(random_.Below(25));
      for (auto& [key, trainer] : agent.ranks) {
        trainer.killed = trainer.killed || Chance(0.003);
        trainer.stuck = trainer.stuck || Chance(0.004);
        if (trainer.stuck) stuck_.insert(key);
      }
    }
  }

  // Of two who saw the same job, the second is refused.
  void Update(const std::string& id) {
    const Job& job = core_->jobs().at(id);
    command::UpdateJob update{id,          job.changes, job.spec, absl::StrCat(random_.Next64()),
                              job.numbers, "changed"};
    update.numbers.priority = static_cast<int>(random_.Below(3));
    update.numbers.keep.last = 1 + static_cast<int>(random_.Below(3));
    const bool may = !Ended(job.state) && !job.cancelling;
    EXPECT_EQ(Do(update).status.ok(), may);
    if (!may) return;
    EXPECT_EQ(core_->jobs().at(id).spec, update.spec);
    update.changes = 0;
    EXPECT_TRUE(HasReason(Do(update).status, reason::kEtagMismatch));
  }

  // Pins, prunes and goes back.
  void ChooseCheckpoints() {
    std::vector<CheckpointKey> keys;
    for (const auto& [key, checkpoint] : core_->checkpoints()) keys.push_back(key);
    for (const CheckpointKey& key : keys) {
      const std::string name = absl::StrCat("jobs/", key.first, "/checkpoints/", key.second);
      if (Chance(0.01) && Do(command::PinCheckpoint{name, "somebody", ""}).status.ok())
        pinned_.insert(key);
      if (pinned_.contains(key) && Chance(0.02)) {
        pinned_.erase(key);
        EXPECT_TRUE(Do(command::UnpinCheckpoint{name}).status.ok());
      }
      if (Chance(0.005)) Do(command::PruneCheckpoints{key.first, 1, 0, 0});
      if (Chance(0.05)) Do(command::ResumeJob{key.first, "", key.second});
    }
  }

  void Beat(Agent& agent) {
    if (!agent.alive && (!faults_ || Chance(0.1))) agent.alive = true;
    if (!agent.alive) return;
    if (agent.frozen > 0) {
      if (--agent.frozen > 0) return;
      for (auto& [key, trainer] : agent.ranks) trainer.still = trainer.stuck ? trainer.still : 0;
    }
    std::vector<RunningRank> running;
    for (const auto& [key, trainer] : agent.ranks)
      running.push_back({key.first, "jobs/" + trainer.job, key.second});
    for (const command::RankExited& exited : agent.unreported) running.push_back(exited.rank);
    if (!agent.connected && (!faults_ || Chance(0.3))) {
      agent.connected = true;
      Worker worker;
      worker.name = agent.name;
      worker.devices = agent.devices;
      worker.address = "10.0.0.1";
      worker.incarnation = absl::StrCat(agent.incarnation);
      Do(command::WorkerHello{worker, running});
    }
    if (!agent.connected) return;
    while (!agent.unreported.empty() && agent.connected) {
      const command::RankExited exited = agent.unreported.front();
      if (!Do(exited, faults_ && Chance(0.01)).status.ok()) return;  // said again later
      Later(exited);
      agent.unreported.pop_front();
    }
    running.clear();
    for (const auto& [key, trainer] : agent.ranks)
      running.push_back({key.first, "jobs/" + trainer.job, key.second});
    Do(command::WorkerHeartbeat{agent.name, running});
    if (agent.connected && (std::exchange(agent.asked, false) || Chance(0.1)))
      SayWhatRanksDo(agent);
  }

  // A rank that is stuck has not entered the collective that the others of its gang wait in.
  void SayWhatRanksDo(const Agent& agent) {
    command::RankActivities report{agent.name, {}};
    for (const auto& [key, trainer] : agent.ranks) {
      command::RankActivities::One& one = report.ranks.emplace_back();
      one.rank = {key.first, "jobs/" + trainer.job, key.second};
      RankActivity& does = one.activity;
      const bool waits = !trainer.stuck && trainer.still > 0;
      does.doing = waits                                 ? "collective"
                   : trainer.stuck && key.first % 2 == 0 ? "stopped"
                                                         : "compute";
      does.seconds = trainer.still;
      does.step = does.steps_done = trainer.step;
      does.groups = {{"world", 0, trainer.step + waits, trainer.step, "all-reduce"}};
    }
    Do(report);
  }

  void End(Agent& agent, const Trainer& trainer, int code, const std::string& reason) {
    agent.unreported.push_back(
        {agent.name, {trainer.attempt, "jobs/" + trainer.job, trainer.rank}, code, reason, ""});
  }

  // A gang steps if all its ranks run;
  // a rank whose peer is gone ends with an error of the collective.
  void Train() {
    std::map<int64_t, std::vector<std::pair<Agent*, Trainer*>>> gangs;
    for (Agent& agent : agents_) {
      for (auto& [key, trainer] : agent.ranks) gangs[key.first].emplace_back(&agent, &trainer);
    }
    for (auto& [attempt, ranks] : gangs) {
      const bool whole = static_cast<int>(ranks.size()) == ranks[0].second->world;
      const bool broken =
          std::any_of(ranks.begin(), ranks.end(), [](const auto& r) { return r.second->killed; });
      const bool stuck =
          std::any_of(ranks.begin(), ranks.end(), [](const auto& r) { return r.second->stuck; });
      const bool frozen = std::any_of(ranks.begin(), ranks.end(),
                                      [](const auto& r) { return r.first->frozen > 0; });
      for (auto& [agent, trainer] : ranks)
        trainer->still = stuck || frozen ? trainer->still + 1 : 0;
      if (frozen) continue;
      const bool pausing =
          std::any_of(ranks.begin(), ranks.end(), [](const auto& r) { return r.second->pausing; });
      std::vector<std::pair<Agent*, Trainer>> ended;
      for (auto& [agent, trainer] : ranks) {
        int code = -1;
        std::string reason;
        if (trainer->killed) {
          code = 128 + 9;
        } else if (trainer->stuck) {
          continue;
        } else if (trainer->unreadable) {
          code = kExitStorage;
          reason = std::string(reason::kCheckpointCorrupt);
        } else if (broken || (!whole && Chance(0.1))) {
          code = kExitCollective;
        } else if (whole && !stuck) {
          code = StepOf(*trainer, pausing);
        }
        if (code < 0) continue;
        End(*agent, *trainer, code, reason);
        ended.emplace_back(agent, *trainer);
      }
      for (auto& [agent, trainer] : ended) agent->ranks.erase({trainer.attempt, trainer.rank});
    }
  }

  // -1: goes on; else it exits.
  int StepOf(Trainer& trainer, bool pausing) {
    const int64_t due = trainer.step;
    // Every other attempt also at steps that the next one passes by.
    const bool planned = due % kEvery == 0 || (trainer.attempt % 2 == 1 && due % 3 == 0);
    if (due > 0 && (planned || due >= kSteps || pausing) && !Committed(trainer, due)) {
      ReportOnce(trainer, due);
      return -1;  // waits: a rank has one checkpoint in flight
    }
    if (trainer.step >= kSteps) return kExitDone;
    if (pausing) return kExitPaused;
    ++trainer.step;
    if (trainer.rank == 0) {
      Progress progress;
      progress.step = trainer.step;
      progress.train_seconds = 0.9 * static_cast<double>(trainer.step - trainer.first);
      progress.data_wait_seconds = progress.train_seconds / 4;
      progress.checkpoint_seconds = progress.train_seconds / 8;
      progress.gradient_norm = faults_ ? random_.Uniform() : 0;
      const command::ReportProgress report{trainer.attempt, "jobs/" + trainer.job, progress};
      CheckFenced(trainer, Do(report).status);
      Later(report);
    }
    return -1;
  }

  bool Committed(const Trainer& trainer, int64_t step) const {
    for (auto it = core_->checkpoints().lower_bound({trainer.job, step});
         it != core_->checkpoints().end() && it->first.first == trainer.job; ++it) {
      if (!it->second.corrupt) return true;
    }
    return false;
  }

  void ReportOnce(Trainer& trainer, int64_t step) {
    if (std::exchange(trainer.wrote, step) != step)
      stored_[{trainer.job, step}].insert(trainer.rank);
    if (faults_ && Chance(0.2)) return;  // lost; it is said again
    if (IsLive(trainer.job, trainer.attempt)) {
      const int number = core_->jobs().at(trainer.job).attempt->number;
      reported_[{trainer.job, step, number}].insert(trainer.rank);
    }
    const command::ReportCheckpoint report{
        trainer.attempt,
        "jobs/" + trainer.job,
        trainer.rank,
        trainer.world,
        step,
        {absl::StrCat("rank-", trainer.rank), 1, std::string(64, 'a')}};
    const Reply reply = Do(report);
    CheckFenced(trainer, reply.status);
    Later(report);
    committed_ += reply.yes;
  }

  // Only the job's newest attempt is heard.
  void CheckFenced(const Trainer& trainer, const absl::Status& status) {
    if (status.ok())
      EXPECT_TRUE(IsLive(trainer.job, trainer.attempt)) << "a stale attempt was heard";
  }

  // What was known of a job last.
  struct Seen {
    JobState state = JobState::kQueued;
    absl::Time ended;
    int roll_backs = 0, preemptions = 0;
    std::string sweep;
  };

  Philox random_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Core> core_;
  std::vector<Agent> agents_;
  Moment now_{absl::FromUnixSeconds(1'000'000), absl::Seconds(1000)};
  std::deque<Command> files_;
  std::deque<Command> late_;  // said before, to be said again
  std::map<std::tuple<std::string, int64_t, int>, std::set<int>> reported_;
  std::map<CheckpointKey, std::set<int>> stored_;  // ranks' files that are there
  std::set<CheckpointKey> pinned_;
  std::map<int64_t, std::string> attempts_;            // that were placed -> job
  std::map<std::pair<std::string, int>, int> worlds_;  // job and attempt's number -> its ranks
  int64_t newest_attempt_ = 0, last_event_ = 0;
  std::map<std::string, absl::Duration> made_, ended_;    // jobs, steady time
  absl::Duration clock_set_;                              // by so much, in all
  std::set<std::pair<int64_t, int>> stuck_;               // ranks that ever were: attempt and rank
  std::map<std::string, Seen> seen_;                      // jobs, also those that are gone
  std::map<std::string, std::string> made_by_schedules_;  // job's name -> its id
  std::set<std::string> histories_;                       // jobs whose logs were deleted
  bool swept_ = false;                                    // there was a sweep
  int forgotten_ = 0;
  int committed_ = 0, cordons_ = 0, coordinator_restarts_ = 0, hangs_ = 0;
  int growths_ = 0, small_starts_ = 0, spared_starts_ = 0;
  bool faults_ = true;
};

TEST(RandomFaults, InvariantsHoldAndEveryJobEnds) {
  uint64_t restarts = 0, preemptions = 0, cordons = 0, roll_backs = 0, hangs = 0;
  uint64_t growths = 0, small = 0, spared = 0, forgotten = 0;
  const char* const wanted = getenv("SEER_SIMULATIONS");
  const uint64_t seeds = wanted != nullptr ? std::stoull(wanted) : 200;
  for (uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed);
    world.Run();
    restarts += static_cast<uint64_t>(world.restarts());
    preemptions += static_cast<uint64_t>(world.preemptions());
    cordons += static_cast<uint64_t>(world.cordons());
    roll_backs += static_cast<uint64_t>(world.roll_backs());
    hangs += static_cast<uint64_t>(world.hangs());
    growths += static_cast<uint64_t>(world.growths());
    small += static_cast<uint64_t>(world.small_starts());
    spared += static_cast<uint64_t>(world.spared_starts());
    forgotten += static_cast<uint64_t>(world.forgotten());
  }
  EXPECT_GT(restarts, seeds / 2);
  EXPECT_GT(preemptions, seeds / 4);
  EXPECT_GT(cordons, seeds / 10);
  EXPECT_GT(roll_backs, seeds / 3);
  EXPECT_GT(hangs, seeds / 4);
  EXPECT_GT(growths, seeds / 2);
  EXPECT_GT(small, seeds);
  EXPECT_GT(spared, seeds / 4);
  EXPECT_GT(forgotten, seeds);
}

}  // namespace
}  // namespace seer::coordinator
