#include "coordinator/core/scheduler.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "common/base/label.h"

namespace seer::coordinator {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max() / 4;
constexpr int kAllDevices = std::numeric_limits<int>::max() / 4;
constexpr size_t kMaxEstimatePasses = 100;
constexpr size_t kMaxEstimateWork = 400'000;  // gangs and workers, over all passes

class Pass {
 public:
  explicit Pass(const SchedulerInput& input)
      : in_(input),
        running_(input.running),
        free_(input.classes, input.workers),
        promised_(input.workers.size()),
        lines_(input.queues.size()) {
    out_.waits.resize(in_.waiting.size());
    for (const RunningGang& gang : running_) {
      Line& line = lines_[Index(gang.queue)];
      line.in_use += gang.devices;
    }
    for (size_t i = 0; i < in_.waiting.size(); ++i)
      lines_[Index(in_.waiting[i].queue)].gangs.push_back(i);
    for (Line& line : lines_) {
      std::sort(line.gangs.begin(), line.gangs.end(), [this](size_t a, size_t b) {
        const WaitingGang &x = in_.waiting[a], &y = in_.waiting[b];
        return std::tuple(-x.priority, x.number) < std::tuple(-y.priority, y.number);
      });
    }
  }

  Schedule Run() {
    for (size_t i = 0; i < lines_.size(); ++i) Enqueue(i);
    while (!turns_.empty()) {
      const size_t queue = std::get<3>(*turns_.begin());
      turns_.erase(turns_.begin());
      Line& line = lines_[queue];
      const size_t gang = line.gangs[line.next++];
      out_.waits[gang] = Consider(gang, queue);
      Enqueue(queue);
    }
    return std::move(out_);
  }

 private:
  // A queue, and how far it was gone through.
  struct Line {
    std::vector<size_t> gangs;  // indices of waiting, in order
    size_t next = 0;
    int64_t in_use = 0, reserved = 0;
    std::string blocked_by;  // a gang that waits for the quota; empty: none
  };
  struct Reservation {
    std::string job;
    absl::Duration until;  // when its devices are free, from now
    Placement kept;        // that are free now
  };
  using Turn = std::tuple<bool, int64_t, double, size_t>;  // the last: index of a queue

  static size_t Index(int i) { return static_cast<size_t>(i); }
  bool Borrows(const Line& line, const Queue& queue, int ranks) const {
    return queue.quota && line.in_use + line.reserved + ranks > *queue.quota;
  }

  void Enqueue(size_t i) {
    const Line& line = lines_[i];
    if (line.next == line.gangs.size()) return;
    const WaitingGang& gang = in_.waiting[line.gangs[line.next]];
    const Queue& queue = in_.queues[i];
    turns_.insert(
        {Borrows(line, queue, gang.shape.ranks),
         gang.reserved.turn > 0 ? gang.reserved.turn : std::numeric_limits<int64_t>::max(),
         static_cast<double>(line.in_use + line.reserved) / queue.weight, i});
  }

  Wait Consider(size_t index, size_t number) {
    const WaitingGang& gang = in_.waiting[index];
    const Queue& queue = in_.queues[number];
    Line& line = lines_[number];
    const int ranks = gang.shape.ranks;
    if (gang.held) return {WaitReason::kDeletion};
    if (in_.workers.empty()) return {WaitReason::kNoWorkers};
    if (ranks > LimitOf(queue)) return {WaitReason::kQueueLimit};
    if (!line.blocked_by.empty()) return {WaitReason::kBehind, line.blocked_by};
    if (line.in_use + ranks > LimitOf(queue)) {
      line.blocked_by = gang.job;
      if (gang.ready_in > absl::ZeroDuration() || !Preempt(index, number))
        return {WaitReason::kQuota};
      ReserveFor(index, number);
      return {WaitReason::kPreempting};
    }
    if (line.in_use + line.reserved + ranks > LimitOf(queue))
      return {WaitReason::kBehind, reserver_of_[number]};
    const bool borrows = Borrows(line, queue, ranks);
    if (borrows && !passed_over_.empty()) return {WaitReason::kBehind, passed_over_};

    Placement placement = Place(gang);
    if (!placement.empty()) {
      if (gang.ready_in <= absl::ZeroDuration()) {
        line.in_use += ranks;
        AddStarted(gang, placement);
        out_.starts.push_back({index, std::move(placement)});
        return {};
      }
      line.reserved += ranks;
      reserver_of_[number] = gang.job;
      reservations_.push_back({gang.job, gang.ready_in, std::move(placement)});
      return {WaitReason::kBackoff, "", 0, gang.ready_in};
    }
    if (const WaitReason never = WhyNever(gang.shape); never != WaitReason::kNone) return {never};
    if (unreservable_.contains(gang.shape)) return WhyNotNow(gang);
    if (out_.reserved.size() == kMaxReservations || unreservable_.size() == kMaxReservations) {
      if (!borrows) passed_over_ = gang.job;
      return WhyNotNow(gang);
    }
    const Wait why = WhyNotNow(gang);
    const bool preempts = gang.ready_in <= absl::ZeroDuration() && Preempt(index, number);
    ReserveFor(index, number);
    return preempts ? Wait{WaitReason::kPreempting} : why;
  }
  // Later gangs may wait for its end.
  void AddStarted(const WaitingGang& gang, const Placement& placement) {
    RunningGang& started = running_.emplace_back();
    started.queue = gang.queue;
    started.placement = placement;
    started.attempt = std::numeric_limits<int64_t>::max();
    started.remaining = gang.lasts;
    by_end_.clear();
  }
  void ReserveFor(size_t index, size_t number) {
    const WaitingGang& gang = in_.waiting[index];
    if (!Reserve(gang)) {
      if (!FitsWhenAllHaveEnded(gang.shape)) {  // workers are lost: nobody waits for it
        unreservable_.insert(gang.shape);
        return;
      }
      // Others reserved what it needs: nothing that comes after it may take more of that.
      for (size_t i = 0; i < promised_.size(); ++i)
        if (free_.Admits(gang.shape.selector, static_cast<int>(i))) promised_[i] = kAllDevices;
      reservations_.push_back(
          {gang.job, absl::InfiniteDuration(), free_.TakeAll(gang.shape.selector)});
    }
    out_.reserved.push_back(index);
    lines_[number].reserved += gang.shape.ranks;
    reserver_of_[number] = gang.job;
    why_not_.clear();
  }

  Placement Place(const WaitingGang& gang) {
    if (gang.lasts == absl::InfiniteDuration() && failed_.contains(gang.shape)) return {};
    // One that ends in time may have what is kept for others.
    std::vector<Reservation*> lent;
    for (Reservation& reservation : reservations_) {
      if (gang.lasts > reservation.until || reservation.until == absl::InfiniteDuration()) continue;
      free_.Release(reservation.kept);
      lent.push_back(&reservation);
    }
    Placement placement = PlaceElsewhere(gang);
    for (Reservation* reservation : lent) {
      for (Share& share : reservation->kept)
        share.devices = std::min(share.devices, free_.free(share.worker));
      free_.Take(reservation->kept);
    }
    if (placement.empty() && lent.empty()) failed_.insert(gang.shape);
    return placement;
  }

  // Not on workers that the gang avoids, if others of the same kind have room.
  Placement PlaceElsewhere(const WaitingGang& gang) {
    Placement anywhere = free_.Place(gang.shape);
    const bool bad = std::any_of(anywhere.begin(), anywhere.end(), [&](const Share& share) {
      return std::find(gang.avoided.begin(), gang.avoided.end(), share.worker) !=
             gang.avoided.end();
    });
    if (!bad) return anywhere;
    free_.Release(anywhere);
    Placement left_alone;
    for (const int worker : gang.avoided)
      if (free_.free(worker) > 0) left_alone.push_back({worker, free_.free(worker)});
    free_.Take(left_alone);
    Placement elsewhere = free_.Place(gang.shape);
    free_.Release(left_alone);
    const auto kind = [this](const Placement& placement) {
      const OfferedDevices& worker = in_.workers[Index(placement.front().worker)];
      return in_.classes[Index(worker.worker_class)].device_kind;
    };
    if (!elsewhere.empty() && kind(elsewhere) == kind(anywhere)) return elsewhere;
    free_.Release(elsewhere);
    free_.Take(anywhere);
    return anywhere;
  }

  // Thinks `gang` away, but for what was promised to others; says what becomes free.
  Placement ThinkAway(const RunningGang& gang) {
    Placement freed;
    for (const Share& share : gang.placement) {
      int& away = away_[share.worker];
      const int before = std::max(0, away - promised_[Index(share.worker)]);
      away += share.devices;
      const int more = std::max(0, away - promised_[Index(share.worker)]) - before;
      if (more > 0) freed.push_back({share.worker, more});
    }
    free_.Release(freed);
    return freed;
  }
  int AdmittedDevices(const GangShape& shape, const RunningGang& gang) {
    int devices = 0;
    for (const Share& share : gang.placement)
      devices += free_.Admits(shape.selector, share.worker) ? share.devices : 0;
    return devices;
  }

  bool Reserve(const WaitingGang& gang) {
    SortByEnd();
    int missing = gang.shape.ranks - free_.FreeFor(gang.shape.selector);
    Placement freed, found;
    absl::Duration until;
    away_.clear();
    for (const bool later : {false, true}) {  // those that began after it reserved come last
      for (size_t j = 0; j < by_end_.size() && found.empty(); ++j) {
        const RunningGang& ends = running_[by_end_[j]];
        if ((gang.reserved.turn > 0 && ends.attempt > gang.reserved.attempt) != later) continue;
        const int devices = AdmittedDevices(gang.shape, ends);
        if (devices == 0) continue;
        const Placement more = ThinkAway(ends);
        freed.insert(freed.end(), more.begin(), more.end());
        until = std::max(until, ends.leaving ? absl::ZeroDuration() : ends.remaining);
        missing -= devices;
        if (missing <= 0) found = free_.Place(gang.shape);
      }
    }
    free_.Release(found);
    free_.Take(freed);
    if (found.empty()) return false;
    std::map<int, int> extra, wanted;
    for (const Share& share : freed) extra[share.worker] += share.devices;
    for (const Share& share : found) wanted[share.worker] += share.devices;
    Reservation reservation{gang.job, until, {}};
    for (const auto& [worker, devices] : wanted) {
      const int later = std::min(devices, extra[worker]);
      promised_[Index(worker)] += later;
      if (devices > later) reservation.kept.push_back({worker, devices - later});
    }
    free_.Take(reservation.kept);
    reservations_.push_back(std::move(reservation));
    return true;
  }

  void SortByEnd() {
    if (!by_end_.empty() || running_.empty()) return;
    for (size_t i = 0; i < running_.size(); ++i) by_end_.push_back(i);
    const auto key = [this](size_t i) {
      const RunningGang& gang = running_[i];
      return std::tuple(gang.leaving ? absl::ZeroDuration() : gang.remaining, gang.attempt);
    };
    std::sort(by_end_.begin(), by_end_.end(),
              [&key](size_t a, size_t b) { return key(a) < key(b); });
  }

  // Whether it gets room from gangs that leave, those that are now told to among them.
  bool Preempt(size_t index, size_t number) {
    const WaitingGang& gang = in_.waiting[index];
    const Queue& queue = in_.queues[number];
    const int64_t held = lines_[number].in_use + lines_[number].reserved + gang.shape.ranks;
    std::vector<size_t> leaving, victims;
    for (size_t i = 0; i < running_.size(); ++i) {
      const RunningGang& other = running_[i];
      if (other.leaving) {
        leaving.push_back(i);
      } else if (other.preemptible && MayTake(gang, number, held, other)) {
        victims.push_back(i);
      }
    }
    if (leaving.empty() && victims.empty()) return false;
    std::sort(victims.begin(), victims.end(), [this](size_t a, size_t b) {
      const RunningGang &x = running_[a], &y = running_[b];
      return std::tuple(x.cost, -x.attempt) < std::tuple(y.cost, -y.attempt);
    });

    std::map<size_t, Placement> freed;  // by index of running
    std::map<int, int64_t> given;       // by queue
    int64_t own = 0;
    const auto take = [&](size_t i) {
      freed[i] = ThinkAway(running_[i]);
      given[running_[i].queue] += running_[i].devices;
      if (Index(running_[i].queue) == number) own += running_[i].devices;
    };
    const auto fits = [&] { return held - own <= LimitOf(queue) && free_.HasRoom(gang.shape); };
    away_.clear();
    for (const size_t i : leaving) take(i);
    bool enough = fits();
    std::vector<size_t> chosen;
    for (size_t j = 0; j < victims.size() && !enough; ++j) {
      const RunningGang& victim = running_[victims[j]];
      const bool borrowed = Index(victim.queue) != number;
      if (borrowed && Surplus(victim.queue) <= given[victim.queue]) continue;
      if (AdmittedDevices(gang.shape, victim) == 0 && (borrowed || held - own <= LimitOf(queue)))
        continue;
      take(victims[j]);
      chosen.push_back(victims[j]);
      enough = fits();
    }
    for (size_t j = chosen.size(); enough && j-- > 0;) {  // the costly ones, if they need not go
      const size_t i = chosen[j];
      free_.Take(freed[i]);
      const int64_t mine = Index(running_[i].queue) == number ? running_[i].devices : 0;
      own -= mine;
      if (fits()) {
        freed.erase(i);
        chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(j));
      } else {
        free_.Release(freed[i]);
        own += mine;
      }
    }
    for (const auto& [i, placement] : freed) free_.Take(placement);
    if (!enough) return false;
    for (const size_t i : chosen) {
      running_[i].leaving = true;
      out_.preemptions.push_back({i, index});
    }
    if (!chosen.empty()) by_end_.clear();
    return true;
  }
  bool MayTake(const WaitingGang& gang, size_t number, int64_t held,
               const RunningGang& other) const {
    if (Index(other.queue) == number) return other.priority < gang.priority;
    const Queue& queue = in_.queues[number];
    return (!queue.quota || held <= *queue.quota) && Surplus(other.queue) > 0;
  }
  // What the queue's gangs that stay hold beyond its quota.
  int64_t Surplus(int number) const {
    const Queue& queue = in_.queues[Index(number)];
    return queue.quota ? lines_[Index(number)].in_use - *queue.quota : 0;
  }

  bool FitsWhenAllHaveEnded(const GangShape& shape) {
    if (!emptied_) {
      std::vector<OfferedDevices> workers = in_.workers;
      for (const RunningGang& gang : in_.running)
        for (const Share& share : gang.placement)
          workers[Index(share.worker)].devices += share.devices;
      emptied_.emplace(in_.classes, workers);
    }
    return emptied_->HasRoom(shape);
  }

  // Whether all workers together would not do, if they were all there and free.
  WaitReason WhyNever(const GangShape& shape) {
    const auto [it, fresh] = never_.try_emplace(shape, WaitReason::kNone);
    if (!fresh) return it->second;
    if (!full_) {
      std::vector<OfferedDevices> all = in_.workers;
      for (size_t i = 0; i < all.size(); ++i) all[i].devices = in_.capacity[i];
      full_.emplace(in_.classes, all);
    }
    if (full_->HasRoom(shape)) return WaitReason::kNone;
    it->second = !full_->AnyClass(shape.selector)               ? WaitReason::kLabels
                 : full_->FreeFor(shape.selector) < shape.ranks ? WaitReason::kCapacity
                                                                : WaitReason::kTopology;
    return it->second;
  }

  Wait WhyNotNow(const WaitingGang& gang) {
    const auto [it, fresh] = why_not_.try_emplace(gang.shape);
    if (!fresh) return it->second;
    const int free = free_.FreeFor(gang.shape.selector);
    it->second = {WaitReason::kDevices, "", free};
    for (const Reservation& reservation : reservations_) {
      int kept = 0;
      for (const Share& share : reservation.kept)
        kept += free_.Admits(gang.shape.selector, share.worker) ? share.devices : 0;
      if (kept == 0 || free + kept < gang.shape.ranks) continue;
      it->second = {WaitReason::kBehind, reservation.job};
      break;
    }
    return it->second;
  }

  const SchedulerInput& in_;
  std::vector<RunningGang> running_;  // with those that are told to leave
  FreeDevices free_;
  std::vector<int> promised_;  // by worker: what reservations take of gangs that run
  std::vector<Line> lines_;
  std::set<Turn> turns_;
  std::vector<size_t> by_end_;  // indices of running
  std::vector<Reservation> reservations_;
  std::map<size_t, std::string> reserver_of_;  // by queue: the newest
  std::string passed_over_;     // a gang within its quota that may reserve nothing; empty: none
  std::set<GangShape> failed_;  // found no room: it gets only less
  std::set<GangShape> unreservable_;  // would not fit if all that run had ended
  std::map<GangShape, WaitReason> never_;
  std::map<GangShape, Wait> why_not_;   // with the present reservations
  std::optional<FreeDevices> full_;     // all workers, as if nothing ran
  std::optional<FreeDevices> emptied_;  // those that can be given work
  std::map<int, int> away_;             // by worker: devices of gangs that are thought away
  Schedule out_;
};

// Takes `input` on to the next time that a gang ends, after what `schedule` starts; `gang` is an
// index of waiting before and after. false: no end is known.
bool Advance(SchedulerInput& input, const Schedule& schedule, size_t& gang, absl::Duration& now) {
  for (const Preemption& preemption : schedule.preemptions) {
    input.running[preemption.victim].leaving = true;
    input.running[preemption.victim].remaining = absl::ZeroDuration();
  }
  std::set<size_t> started;
  for (const GangStart& start : schedule.starts) {
    const WaitingGang& from = input.waiting[start.gang];
    started.insert(start.gang);
    for (const Share& share : start.placement)
      input.workers[static_cast<size_t>(share.worker)].devices -= share.devices;
    RunningGang to;
    to.queue = from.queue;
    to.priority = from.priority;
    to.devices = from.shape.ranks;
    to.placement = start.placement;
    to.attempt = std::numeric_limits<int64_t>::max();
    to.remaining = from.lasts;
    input.running.push_back(std::move(to));
  }
  int64_t turn = 0;
  for (const WaitingGang& waiting : input.waiting) turn = std::max(turn, waiting.reserved.turn);
  for (const size_t i : schedule.reserved) {
    Reserved& reserved = input.waiting[i].reserved;
    if (reserved.turn == 0) reserved = {++turn, std::numeric_limits<int64_t>::max()};
  }
  absl::Duration step = absl::InfiniteDuration();
  for (const RunningGang& running : input.running)
    step = std::min(step, running.leaving ? absl::ZeroDuration() : running.remaining);
  for (const WaitingGang& waiting : input.waiting)
    if (waiting.ready_in > absl::ZeroDuration()) step = std::min(step, waiting.ready_in);
  if (step == absl::InfiniteDuration()) return false;
  now += step;
  std::vector<RunningGang> running;
  for (RunningGang& one : input.running) {
    one.remaining -= step;
    if (!one.leaving && one.remaining > absl::ZeroDuration()) {
      running.push_back(std::move(one));
      continue;
    }
    for (const Share& share : one.placement)
      input.workers[static_cast<size_t>(share.worker)].devices += share.devices;
  }
  input.running = std::move(running);
  std::vector<WaitingGang> waiting;
  size_t place = 0;
  for (size_t i = 0; i < input.waiting.size(); ++i) {
    if (started.contains(i)) continue;
    if (i == gang) place = waiting.size();
    waiting.push_back(std::move(input.waiting[i]));
    waiting.back().ready_in = std::max(absl::ZeroDuration(), waiting.back().ready_in - step);
  }
  input.waiting = std::move(waiting);
  gang = place;
  return true;
}

}  // namespace

Schedule MakeSchedule(const SchedulerInput& input) { return Pass(input).Run(); }

std::optional<absl::Duration> EstimateStart(SchedulerInput input, size_t gang) {
  const size_t size = 1 + input.waiting.size() + input.running.size() + input.workers.size();
  size_t passes = std::clamp<size_t>(kMaxEstimateWork / size, 1, kMaxEstimatePasses);
  absl::Duration now;
  for (; passes > 0; --passes) {
    const Schedule schedule = MakeSchedule(input);
    if (schedule.waits[gang].reason == WaitReason::kNone) return now;
    if (!Advance(input, schedule, gang, now)) break;
  }
  return std::nullopt;
}

int64_t LimitOf(const Queue& queue) {
  if (!queue.quota || !queue.borrow) return kUnlimited;
  return *queue.quota + *queue.borrow;
}

int StorePort(int64_t attempt_id) { return 20000 + static_cast<int>(attempt_id % 10000); }

}  // namespace seer::coordinator
