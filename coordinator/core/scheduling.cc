// Core's part about who starts when: what the scheduler is told, and what is done with its answer.
#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/label.h"
#include "common/base/reasons.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"
#include "coordinator/core/scheduler.h"

namespace seer::coordinator {
namespace {

constexpr absl::Duration kPreemptionWindow = absl::Hours(1);
constexpr size_t kNamedJobs = 5;  // in a sentence

std::string Devices(int64_t n) { return absl::StrCat(n, n == 1 ? " device" : " devices"); }

std::string LabelText(const Labels& labels) {
  return absl::StrJoin(labels, ",", absl::PairFormatter("="));
}

// "job_a, job_b and 3 more"
std::string SomeOf(const std::vector<std::string>& ids) {
  if (ids.size() <= kNamedJobs) return absl::StrJoin(ids, ", ");
  return absl::StrCat(absl::StrJoin(ids.begin(), ids.begin() + kNamedJobs, ", "), " and ",
                      ids.size() - kNamedJobs, " more");
}

absl::Duration TimeFor(int64_t steps, const Progress& progress) {
  if (steps < 0 || !(progress.step_seconds > 0)) return absl::InfiniteDuration();  // also NaN
  return absl::Seconds(progress.step_seconds) * static_cast<double>(steps);
}

// Why the attempt gives its devices up.
absl::string_view ReasonOf(const Attempt& attempt) {
  return attempt.resizing                ? reason::kGangResized
         : attempt.preempted_for.empty() ? reason::kWorkerDrained
                                         : reason::kPreempted;
}

int PreemptedWithinWindow(const Job& job, absl::Time now) {
  return static_cast<int>(
      std::count_if(job.preempted.begin(), job.preempted.end(),
                    [now](absl::Time time) { return time > now - kPreemptionWindow; }));
}

}  // namespace

SchedulerInput Core::InputAt(Moment now, const Job* extra) const {
  SchedulerInput input;
  std::map<std::string, int> queues;
  for (const auto& [name, queue] : queues_) {
    queues[name] = static_cast<int>(input.queues.size());
    input.queues.push_back(queue);
  }
  absl::flat_hash_map<std::string, int> classes;
  absl::flat_hash_map<absl::string_view, int> workers;  // that can be given work
  for (const auto& [name, worker] : workers_) {
    const auto [it, fresh] =
        classes.try_emplace(absl::StrCat(worker.device_kind, ",", LabelText(worker.labels)),
                            static_cast<int>(input.classes.size()));
    if (fresh) input.classes.push_back({worker.device_kind, worker.labels});
    const bool usable = CanBeGivenWork(worker);
    if (usable) workers[name] = static_cast<int>(input.workers.size());
    input.workers.push_back({MachineOf(worker), it->second, usable ? worker.devices : 0});
    input.capacity.push_back(worker.devices);
  }
  // What is common to gangs that wait and to those that want more.
  const auto fill = [&](const Job& job, WaitingGang& gang) {
    gang.job = job.id;
    gang.queue = queues.at(job.numbers.queue);
    gang.priority = job.numbers.priority;
    gang.number = job.queue_number;
    for (const Avoided& avoided : job.avoided) {
      const auto worker = workers.find(avoided.worker);
      if (avoided.until > now.wall && worker != workers.end())
        gang.avoided.push_back(worker->second);
    }
  };
  for (const auto& [id, job_id] : live_) {
    const Job& job = jobs_.at(job_id);
    const Attempt& attempt = *job.attempt;
    RunningGang& gang = input.running.emplace_back();
    gang.job = job_id;
    gang.queue = queues.at(job.numbers.queue);
    gang.priority = job.numbers.priority;
    gang.devices = static_cast<int>(DevicesHeld(attempt));
    gang.attempt = attempt.holds_since;
    const std::string* last = nullptr;  // ranks of one worker mostly come together
    int worker = -1;
    for (const Rank& rank : attempt.ranks) {
      if (!HoldsDevice(job, rank)) continue;
      if (last == nullptr || *last != rank.worker) {
        last = &rank.worker;
        const auto it = workers.find(rank.worker);
        worker = it == workers.end() ? -1 : it->second;
        if (worker >= 0) gang.placement.push_back({worker, 0});
      }
      if (worker >= 0) ++gang.placement.back().devices;
    }
    if (lacking_.contains(job_id)) {
      std::optional<WaitingGang> wish = WishOf(job, now);
      // While a machine cannot be given work, the gang would lose its ranks there.
      if (wish &&
          coordinator::DevicesOf(gang.placement) == static_cast<int>(attempt.ranks.size())) {
        fill(job, *wish);
        wish->kept = gang.placement;
        wish->kept_since = attempt.holds_since;
        input.wishes.push_back({input.running.size() - 1, *std::move(wish)});
      }
    }
    for (const std::string& spare : attempt.spares)
      if (const auto it = workers.find(spare); it != workers.end())
        gang.placement.push_back({it->second, 1});
    for (const Share& share : gang.placement) {
      int& free = input.workers[static_cast<size_t>(share.worker)].devices;
      free = std::max(free - share.devices, 0);  // it may offer fewer than it did
    }
    const bool ends = attempt.stopping || job.cancelling || job.state == JobState::kPausing;
    gang.leaving = ends && !KeepsDevices(job);
    if (attempt.newest_step > attempt.restore_step)
      gang.remaining = TimeFor(job.numbers.steps - attempt.newest_step, job.progress);
    gang.preemptible = !ends && PreemptedWithinWindow(job, now.wall) <
                                    queues_.at(job.numbers.queue).max_preemptions_per_hour;
    absl::Time since = attempt.started;
    if (const auto newest = checkpoints_.find({job_id, NewestCheckpoint(job_id)});
        newest != checkpoints_.end())
      since = std::max(since, newest->second.created);
    gang.cost =
        gang.devices * absl::ToDoubleSeconds(std::max(now.wall - since, absl::ZeroDuration()));
  }
  const auto add = [&](const Job& job) {
    WaitingGang& gang = input.waiting.emplace_back();
    fill(job, gang);
    gang.shape = job.numbers.shape;
    gang.smaller = job.numbers.smaller;
    gang.spares = job.numbers.spares;
    gang.reserved = job.reserved;
    gang.ready_in = std::max(job.not_before - now.steady, absl::ZeroDuration());
    if (job.kept) {
      gang.kept_since = job.kept->since;
      gang.had = job.kept->ranks;
      gang.shrinks_in = std::max(job.kept->shrinks_at - now.steady, absl::ZeroDuration());
      for (const std::string& name : job.kept->workers) {
        const auto it = workers.find(name);
        if (it == workers.end()) continue;
        int& free = input.workers[static_cast<size_t>(it->second)].devices;
        if (free == 0) continue;
        --free;
        gang.kept.push_back({it->second, 1});
      }
    }
    if (job.attempts == 0) return;
    gang.lasts = TimeFor(job.numbers.steps - StartOf(job).second, job.progress);
    // Files that the attempt would write anew are on their way out: it waits until they are gone.
    // Others need not: storage may take long, or refuse for ever.
    gang.held = DeletesBeyond(job.id, NewestCheckpoint(job.id));
  };
  for (const std::string& id : waiting_) {
    const Job& job = jobs_.at(id);
    if (WaitForOthers(job).reason == WaitReason::kNone) add(job);
  }
  if (extra != nullptr) {
    add(*extra);
    input.waiting.back().number = std::numeric_limits<int64_t>::max();
  }
  return input;
}

void Core::SchedulePass(Moment now, Decision& out) {
  if (recovering_ || (waiting_.empty() && lacking_.empty())) return;
  ForgetKeptDevices(now, out);
  out.scheduled = true;
  const SchedulerInput input = InputAt(now);
  const Schedule schedule = MakeSchedule(input);
  std::vector<const std::string*> names;
  for (const auto& [name, worker] : workers_) names.push_back(&name);
  for (size_t i = 0; i < input.waiting.size(); ++i) {
    const Wait& wait = schedule.waits[i];
    if (wait.reason == WaitReason::kNone) continue;
    Wait& known = waits_[input.waiting[i].job];
    if (known != wait) out.effects.watched.push_back(input.waiting[i].job);
    known = wait;
  }
  for (const size_t i : schedule.forfeits) {
    Job& job = jobs_.at(input.waiting[i].job);
    job.kept.reset();
    Changed(job, out);
  }
  for (const size_t i : schedule.reserved) {
    Job& job = jobs_.at(input.waiting[i].job);
    if (job.reserved.turn == 0) job.reserved = {++last_turn_, last_attempt_};
  }
  const auto named = [&](const Placement& placement) {
    std::vector<std::string> workers;
    for (const Share& share : placement)
      workers.insert(workers.end(), static_cast<size_t>(share.devices),
                     *names[static_cast<size_t>(share.worker)]);
    return workers;
  };
  for (const GangStart& start : schedule.starts)
    StartAttempt(jobs_.at(input.waiting[start.gang].job), named(start.placement),
                 named(start.spares), now, out);
  std::set<size_t> grown;
  for (const GangGrowth& growth : schedule.growths) {
    grown.insert(growth.gang);
    Grow(jobs_.at(input.running[growth.gang].job), growth, named(growth.more), now, out);
  }
  for (const GrowthWish& wish : input.wishes)
    if (!grown.contains(wish.gang)) jobs_.at(wish.wish.job).attempt->grows_at.reset();
  for (const Preemption& preemption : schedule.preemptions)
    PreemptJob(jobs_.at(input.running[preemption.victim].job),
               jobs_.at(input.waiting[preemption.gang].job), now, out);
}

void Core::PreemptJob(Job& victim, const Job& for_job, Moment now, Decision& out) {
  Attempt& attempt = *victim.attempt;
  attempt.preempted_for = for_job.id;
  std::erase_if(victim.preempted,
                [&](absl::Time time) { return time <= now.wall - kPreemptionWindow; });
  victim.preempted.push_back(now.wall);
  const std::string why =
      absl::StrCat("gives its ", Devices(DevicesHeld(attempt)), " to ", for_job.id,
                   for_job.numbers.queue == victim.numbers.queue
                       ? absl::StrCat(" of priority ", for_job.numbers.priority)
                       : absl::StrCat(" of queue ", for_job.numbers.queue));
  TakeDevices(victim, "preempted", reason::kPreempted, why, now, out);
}

void Core::TakeDevices(Job& job, const char* event, absl::string_view reason,
                       const std::string& why, Moment now, Decision& out) {
  const absl::Duration grace = queues_.at(job.numbers.queue).preemption_grace;
  job.attempt->kill_at = now.steady + grace;
  AddEvent(job, job.attempt->number, event, std::string(reason),
           absl::StrCat(why, "; has ", absl::FormatDuration(grace), " to write a checkpoint"), now,
           out);
  ChangeState(job, JobState::kPausing, std::string(reason),
              absl::StrCat("writing a checkpoint: ", why), now, out);
  TellRanks(job, /*kill=*/false, now, out);
}

void Core::KillPreempted(Moment now, Decision& out) {
  for (Job* job : LiveJobs()) {
    Attempt& attempt = *job->attempt;
    if (!DevicesTaken(attempt) || attempt.stopping || now.steady < attempt.kill_at) continue;
    attempt.stop_reason = std::string(ReasonOf(attempt));
    attempt.stop_message = "it had not ended when its time to write a checkpoint was up";
    TellRanks(*job, /*kill=*/true, now, out);
  }
}

void Core::EndPreempted(Job& job, const Attempt& attempt, const Outcome& outcome, Moment now,
                        Decision& out) {
  const bool preempted = !attempt.preempted_for.empty();
  if (preempted) ++job.preemptions;
  const int64_t step = NewestCheckpoint(job.id);
  const int64_t lost = attempt.newest_step - std::max(step, attempt.restore_step);
  if (preempted && lost > 0 && job.progress.step_seconds > 0)
    out.lost_device_seconds += static_cast<double>(lost) * job.progress.step_seconds *
                               static_cast<double>(attempt.ranks.size());
  std::string why = attempt.resizing ? "goes on with more ranks"
                    : preempted      ? absl::StrCat("its devices went to ", attempt.preempted_for)
                                : absl::StrCat("left ", attempt.drained_from, ", which is drained");
  if (!outcome.message.empty()) absl::StrAppend(&why, "; ", outcome.message);
  const std::string from = StartText(job);
  const std::string taken(ReasonOf(attempt));
  if (attempt.pause_after)
    return ChangeState(job, JobState::kPaused, taken, absl::StrCat("resumes ", from, "; ", why),
                       now, out);
  if (preempted && job.numbers.stop_when_preempted)
    return ChangeState(job, JobState::kFailed, taken,
                       absl::StrCat(why, ", and scheduling.onPreemption is STOP"), now, out);
  if (!preempted) KeepDevices(job, attempt, now);
  ChangeState(job, attempt.resizing ? JobState::kRestarting : JobState::kQueued, taken,
              absl::StrCat(why, "; starts again ", from), now, out);
}

Wait Core::WaitOf(const Job& job) const {
  if (!Waiting(job.state)) return {};
  if (const Wait wait = WaitForOthers(job); wait.reason != WaitReason::kNone) return wait;
  if (recovering_) return {WaitReason::kRecovering};
  const auto it = waits_.find(job.id);
  return it == waits_.end() ? Wait{} : it->second;
}

std::string Core::UsersOf(const std::string& queue) const {
  std::vector<std::string> ids;
  for (const auto& [attempt, id] : live_)
    if (jobs_.at(id).numbers.queue == queue) ids.push_back(id);
  return SomeOf(ids);
}

std::string Core::CordonedText(const Labels& selector) const {
  std::vector<std::string> names;
  for (const auto& [name, worker] : workers_)
    if (worker.cordon && Has({worker.device_kind, worker.labels}, selector)) names.push_back(name);
  return names.empty() ? "" : absl::StrCat("; cordoned: ", SomeOf(names));
}

std::string Core::Explain(const Job& job, const Wait& wait) const {
  const JobNumbers& numbers = job.numbers;
  const GangShape shape = WithRanks(numbers.shape, LeastRanks(numbers));
  const std::string with =
      shape.selector.empty() ? "" : absl::StrCat(" with ", LabelText(shape.selector));
  const auto found = queues_.find(numbers.queue);
  const Queue queue = found == queues_.end() ? Queue() : found->second;
  switch (wait.reason) {
    case WaitReason::kNone:
      return "";
    case WaitReason::kDevices:
      return absl::StrCat("waits for ", WantedText(numbers, "device"), with, ": ",
                          wait.free == 0   ? "none is"
                          : wait.free == 1 ? "1 is"
                                           : absl::StrCat(wait.free, " are"),
                          " free", CordonedText(shape.selector));
    case WaitReason::kBehind: {
      const auto ahead = jobs_.find(wait.ahead);
      if (ahead == jobs_.end()) return absl::StrCat("behind ", wait.ahead);
      const JobNumbers& other = ahead->second.numbers;
      return absl::StrCat("behind ", wait.ahead,
                          other.queue == numbers.queue ? " of the same queue"
                                                       : absl::StrCat(" of queue ", other.queue),
                          ahead->second.reserved.turn > 0
                              ? absl::StrCat(", which reserved ", Devices(LeastRanks(other)))
                              : absl::StrCat(", which waits for ", Devices(LeastRanks(other))));
    }
    case WaitReason::kQuota: {
      const QueueUse use = UseOf(numbers.queue);
      return absl::StrCat(
          "waits for ", WantedText(numbers, "device"), " in queue ", numbers.queue, ": ",
          use.devices, " of its quota of ", queue.quota.value_or(0),
          queue.borrow.value_or(0) > 0 ? absl::StrCat(" and ", *queue.borrow, " to borrow") : "",
          " are in use by ", UsersOf(numbers.queue));
    }
    case WaitReason::kQueueLimit:
      return absl::StrCat("wants ", Devices(shape.ranks), ", and queue ", numbers.queue,
                          " never allows more than ", LimitOf(queue), "; `seer queue set ",
                          numbers.queue, "` raises that");
    case WaitReason::kCapacity: {
      int64_t devices = 0;
      for (const auto& [name, worker] : workers_)
        devices += Has({worker.device_kind, worker.labels}, shape.selector) ? worker.devices : 0;
      return absl::StrCat("wants ", Devices(shape.ranks), " of one kind; all workers", with,
                          " together have ", devices);
    }
    case WaitReason::kLabels: {
      for (const auto& label : shape.selector) {
        const bool any = std::any_of(workers_.begin(), workers_.end(), [&](const auto& item) {
          return Has({item.second.device_kind, item.second.labels}, {label});
        });
        if (!any) return absl::StrCat("no machine has label ", label.first, "=", label.second);
      }
      return absl::StrCat("no machine has all labels ", LabelText(shape.selector));
    }
    case WaitReason::kTopology:
      return absl::StrCat("no set of workers", with, " has room for ",
                          shape.ranks / shape.group_ranks,
                          shape.ranks == shape.group_ranks ? " group of " : " groups of ",
                          shape.group_ranks, " ranks, each ",
                          shape.within == kMachineTopology
                              ? std::string("on one machine")
                              : absl::StrCat("on workers with the same ", shape.within));
    case WaitReason::kNoWorkers:
      return "waits for workers: none has registered yet";
    case WaitReason::kBackoff:
      return absl::StrCat("failed a moment ago; its devices are kept for ",
                          absl::FormatDuration(absl::Ceil(wait.ready_in, absl::Seconds(1))));
    case WaitReason::kDeletion:
      return absl::StrCat("waits until its checkpoints beyond step ", NewestCheckpoint(job.id),
                          " are deleted");
    case WaitReason::kPreempting: {
      std::vector<std::string> ids;
      for (const auto& [attempt, id] : live_) {
        if (jobs_.at(id).attempt->preempted_for == job.id) ids.push_back(id);
      }
      return absl::StrCat("waits for the devices that ", ids.empty() ? "others" : SomeOf(ids),
                          ids.size() == 1 ? " gives up" : " give up");
    }
    case WaitReason::kAfter:
      return ExplainChain(job);
    case WaitReason::kRecovering:
      return "the coordinator has restarted and waits for its agents";
  }
  return "";
}

}  // namespace seer::coordinator
