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
    for (size_t i = 0; i < in_.waiting.size(); ++i) {
      const WaitingGang& gang = in_.waiting[i];
      lines_[Index(gang.queue)].gangs.push_back({&gang, i, /*runs=*/false});
      if (gang.reserved.turn > 0) reserving_.push_back(&gang);
    }
    for (size_t i = 0; i < in_.waiting.size(); ++i)
      if (!in_.waiting[i].kept.empty()) AddKept(i);
    for (const GrowthWish& growth : in_.wishes) {
      const Entry entry{&growth.wish, growth.gang, /*runs=*/true};
      const size_t queue = Index(growth.wish.queue);
      if (HasPassed(growth.wish)) {
        last_.emplace_back(entry, queue);
      } else {
        lines_[queue].gangs.push_back(entry);
      }
    }
    for (const RunningGang& gang : running_) lines_[Index(gang.queue)].in_use += gang.devices;
    for (Line& line : lines_) {
      std::sort(line.gangs.begin(), line.gangs.end(), [](const Entry& a, const Entry& b) {
        return std::tuple(-a.gang->priority, a.gang->number) <
               std::tuple(-b.gang->priority, b.gang->number);
      });
      line.turns.assign(line.gangs.size() + 1, std::numeric_limits<int64_t>::max());
      for (size_t i = line.gangs.size(); i-- > 0;) {
        const int64_t turn = line.gangs[i].gang->reserved.turn;
        line.turns[i] = turn > 0 ? std::min(turn, line.turns[i + 1]) : line.turns[i + 1];
      }
    }
  }

  Schedule Run() {
    for (size_t i = 0; i < lines_.size(); ++i) Enqueue(i);
    while (!turns_.empty()) {
      const size_t queue = std::get<3>(*turns_.begin());
      turns_.erase(turns_.begin());
      Line& line = lines_[queue];
      while (line.next < line.gangs.size() && line.gangs[line.next].runs)
        Grow(line.gangs[line.next++], queue, /*last=*/false);
      if (line.next == line.gangs.size()) continue;
      const size_t gang = line.gangs[line.next++].index;
      out_.waits[gang] = Consider(gang, queue);
      Enqueue(queue);
    }
    for (const auto& [entry, queue] : last_) Grow(entry, queue, /*last=*/true);
    return std::move(out_);
  }

 private:
  // A gang that waits, or one that runs and wants more.
  struct Entry {
    const WaitingGang* gang;
    size_t index;  // of waiting, or of running
    bool runs;
  };
  // A queue, and how far it was gone through.
  struct Line {
    std::vector<Entry> gangs;    // in order
    std::vector<int64_t> turns;  // by place: the earliest reservation from there on
    size_t next = 0;
    int64_t in_use = 0, reserved = 0;  // what gangs keep is in use
    std::string blocked_by;            // a gang that waits for the quota; empty: none
  };
  struct Reservation {
    std::string job;
    absl::Duration until;  // when its devices are free, from now; infinite: they are lent to nobody
    Placement kept;        // that are free now
  };
  using Turn = std::tuple<bool, int64_t, double, size_t>;  // the last: index of a queue

  static size_t Index(int i) { return static_cast<size_t>(i); }
  static int LeastRanks(const WaitingGang& gang) {
    return gang.smaller.empty() ? gang.shape.ranks : gang.smaller.back();
  }
  static GangShape LeastShape(const WaitingGang& gang) {
    return gang.smaller.empty() ? gang.shape : WithRanks(gang.shape, gang.smaller.back());
  }
  const Placement& Kept(const WaitingGang& gang) const {
    return forfeited_.contains(&gang) ? none_ : gang.kept;
  }
  // That its fewest ranks need besides those that it keeps.
  int Lacks(const WaitingGang& gang) const {
    return std::max(0, LeastRanks(gang) - DevicesOf(Kept(gang)));
  }
  static bool Borrows(const Line& line, const Queue& queue, int devices) {
    return queue.quota && line.in_use + line.reserved + devices > *queue.quota;
  }
  // Devices that a gang of the queue may take; one that need not borrow does not.
  int64_t RoomIn(const Line& line, const Queue& queue, bool borrows) const {
    if (!line.blocked_by.empty() || (borrows && !passed_over_.empty())) return 0;
    const int64_t limit = !borrows && queue.quota ? *queue.quota : LimitOf(queue);
    return std::max<int64_t>(0, limit - line.in_use - line.reserved);
  }

  // By the next gang that waits: those before it that run and want more delay nobody.
  void Enqueue(size_t i) {
    const Line& line = lines_[i];
    if (line.next == line.gangs.size()) return;
    const auto waits =
        std::find_if(line.gangs.begin() + static_cast<std::ptrdiff_t>(line.next), line.gangs.end(),
                     [](const Entry& entry) { return !entry.runs; });
    const Queue& queue = in_.queues[i];
    const int lacks = waits == line.gangs.end() ? 0 : Lacks(*waits->gang);
    turns_.insert({Borrows(line, queue, lacks), line.turns[line.next],
                   static_cast<double>(line.in_use + line.reserved) / queue.weight, i});
  }

  Wait Consider(size_t index, size_t number) {
    const WaitingGang& gang = in_.waiting[index];
    const Queue& queue = in_.queues[number];
    Line& line = lines_[number];
    const int lacks = Lacks(gang);
    if (gang.held) return {WaitReason::kDeletion};
    if (in_.workers.empty()) return {WaitReason::kNoWorkers};
    if (LeastRanks(gang) > LimitOf(queue)) return {WaitReason::kQueueLimit};
    const bool borrows = Borrows(line, queue, lacks);
    if (lacks > 0) {
      if (!line.blocked_by.empty()) return {WaitReason::kBehind, line.blocked_by};
      if (line.in_use + lacks > LimitOf(queue)) {
        line.blocked_by = gang.job;
        if (gang.ready_in > absl::ZeroDuration() || !Preempt(index, number))
          return {WaitReason::kQuota};
        ReserveFor(index, number);
        return {WaitReason::kPreempting};
      }
      if (line.in_use + line.reserved + lacks > LimitOf(queue))
        return {WaitReason::kBehind, reserver_of_[number]};
      if (borrows && !passed_over_.empty()) return {WaitReason::kBehind, passed_over_};
    }

    const int64_t room = RoomIn(line, queue, borrows);
    if (Placement placement = PlaceLargest(gang, room); !placement.empty())
      return StartOrKeep(index, number, std::move(placement));
    const GangShape least = LeastShape(gang);
    if (const WaitReason never = WhyNever(least); never != WaitReason::kNone) return {never};
    if (unreservable_.contains(least)) return WhyNotNow(gang);
    if (out_.reserved.size() == kMaxReservations || unreservable_.size() == kMaxReservations) {
      if (!borrows) passed_over_ = gang.job;
      return WhyNotNow(gang);
    }
    const Wait why = WhyNotNow(gang);
    const bool preempts = gang.ready_in <= absl::ZeroDuration() && Preempt(index, number);
    ReserveFor(index, number);
    return preempts ? Wait{WaitReason::kPreempting} : why;
  }

  // For all its ranks or the most that find room, with at most `room` devices that it does not
  // keep. If there are some, what it keeps is free after it, but for these.
  Placement PlaceLargest(const WaitingGang& gang, int64_t room) {
    const int64_t most = DevicesOf(Kept(gang)) + room;
    free_.Release(Kept(gang));
    Placement placement;
    if (gang.shape.ranks <= most) placement = Place(gang, gang.shape);
    for (const int ranks : gang.smaller) {
      if (!placement.empty()) return placement;
      if (ranks <= most) placement = Place(gang, WithRanks(gang.shape, ranks));
    }
    if (placement.empty()) free_.Take(Kept(gang));
    return placement;
  }

  Wait StartOrKeep(size_t index, size_t number, Placement placement) {
    const WaitingGang& gang = in_.waiting[index];
    Line& line = lines_[number];
    const int ranks = DevicesOf(placement), kept = DevicesOf(Kept(gang));
    if (kept > 0) {
      ForgetKept(gang);
      failed_.clear();  // some of what it kept may be free now
    }
    const absl::Duration ready_in =
        ranks < gang.had ? std::max(gang.ready_in, gang.shrinks_in) : gang.ready_in;
    if (ready_in > absl::ZeroDuration()) {
      line.reserved += std::max(0, ranks - kept);
      reserver_of_[number] = gang.job;
      Placement rest = TakeRest(Kept(gang), placement);
      placement.insert(placement.end(), rest.begin(), rest.end());
      reservations_.push_back(
          {gang.job, kept > 0 ? absl::InfiniteDuration() : ready_in, std::move(placement)});
      return {WaitReason::kBackoff, "", 0, ready_in};
    }
    GangStart start{index, std::move(placement), {}};
    line.in_use += ranks - kept;
    if (ranks == gang.shape.ranks) start.spares = PlaceSpares(gang, start.placement, number);
    line.in_use += DevicesOf(start.spares);
    AddStarted(gang, start);
    out_.starts.push_back(std::move(start));
    return {};
  }

  // What a running gang lacks, if it is there. One that would borrow comes after all that wait.
  void Grow(const Entry& entry, size_t number, bool last) {
    const WaitingGang& wish = *entry.gang;
    RunningGang& gang = running_[entry.index];
    Line& line = lines_[number];
    if (gang.leaving) return;
    const Queue& queue = in_.queues[number];
    const bool borrows = Borrows(line, queue, Lacks(wish));
    if (borrows && !last) {
      last_.emplace_back(entry, number);
      return;
    }
    GangGrowth growth{entry.index, DevicesOf(wish.kept), {}, true};
    if (growth.ranks == wish.shape.ranks) {
      growth.more = PlaceSpares(wish, wish.kept, number);
    } else {
      const int64_t room = RoomIn(line, queue, borrows);
      const Placement all = room > 0 ? PlaceLargest(wish, room) : Placement();
      if (all.empty()) return;
      free_.Release(all);
      free_.Take(wish.kept);
      growth.more = TakeRest(all, wish.kept);
      growth.ranks = DevicesOf(all);
      growth.ready = wish.ready_in <= absl::ZeroDuration();
      if (DevicesOf(growth.more) > room) {  // it would have to move, and hold too many meanwhile
        free_.Release(growth.more);
        return;
      }
    }
    if (growth.more.empty()) return;
    line.in_use += DevicesOf(growth.more);
    if (growth.ready) gang.preemptible = false;
    out_.growths.push_back(std::move(growth));
  }

  // Devices of the gang's kind: on other machines than its ranks and on workers that it does not
  // avoid, if there are such, and as many as there are without borrowing.
  Placement PlaceSpares(const WaitingGang& gang, const Placement& ranks, size_t number) {
    const int64_t wanted = std::min<int64_t>(
        gang.spares, RoomIn(lines_[number], in_.queues[number], /*borrows=*/false));
    if (wanted <= 0) return {};
    GangShape shape;
    shape.selector = gang.shape.selector;
    const OfferedDevices& first = in_.workers[Index(ranks.front().worker)];
    shape.selector[std::string(kDeviceLabel)] = in_.classes[Index(first.worker_class)].device_kind;
    Placement spares;
    const auto place = [&] {
      shape.ranks = static_cast<int>(
          std::min<int64_t>(wanted - DevicesOf(spares), free_.FreeFor(shape.selector)));
      if (shape.ranks <= 0) return;
      const Placement more = free_.Place(shape);
      spares.insert(spares.end(), more.begin(), more.end());
    };
    const Placement avoided = TakeAvoided(gang), near = free_.TakeMachinesOf(ranks);
    place();
    free_.Release(near);
    place();
    free_.Release(avoided);
    place();
    return spares;
  }

  // Takes what `wanted` has beyond `taken`, worker by worker, as far as it is free.
  Placement TakeRest(const Placement& wanted, const Placement& taken) {
    std::map<int, int> rest;
    for (const Share& share : wanted) rest[share.worker] += share.devices;
    for (const Share& share : taken)
      if (const auto it = rest.find(share.worker); it != rest.end()) it->second -= share.devices;
    Placement placement;
    for (const auto& [worker, devices] : rest) {
      const int more = std::min(devices, free_.free(worker));
      if (more > 0) placement.push_back({worker, more});
    }
    free_.Take(placement);
    return placement;
  }

  // Later gangs may wait for its end.
  void AddStarted(const WaitingGang& gang, const GangStart& start) {
    RunningGang& started = running_.emplace_back();
    started.queue = gang.queue;
    started.placement = start.placement;
    started.placement.insert(started.placement.end(), start.spares.begin(), start.spares.end());
    started.attempt = Kept(gang).empty() ? std::numeric_limits<int64_t>::max() : gang.kept_since;
    started.remaining = gang.lasts;
    by_end_.clear();
  }
  // It took what it keeps when another one that could use it had reserved.
  bool HasPassed(const WaitingGang& gang) {
    return std::any_of(reserving_.begin(), reserving_.end(), [&](const WaitingGang* other) {
      return other != &gang && other->reserved.attempt < gang.kept_since &&
             std::any_of(gang.kept.begin(), gang.kept.end(), [&](const Share& share) {
               return free_.Admits(other->shape.selector, share.worker);
             });
    });
  }
  // Until its turn, as if it ran on what it keeps.
  void AddKept(size_t index) {
    const WaitingGang& gang = in_.waiting[index];
    if (HasPassed(gang)) {
      forfeited_.insert(&gang);
      out_.forfeits.push_back(index);
      return free_.Release(gang.kept);
    }
    kept_as_[&gang] = running_.size();
    RunningGang& kept = running_.emplace_back();
    kept.queue = gang.queue;
    kept.devices = DevicesOf(gang.kept);
    kept.placement = gang.kept;
    kept.attempt = gang.kept_since;
    kept.remaining = gang.lasts;
  }
  void ForgetKept(const WaitingGang& gang) {
    running_[kept_as_.at(&gang)].placement.clear();
    by_end_.clear();
  }

  void ReserveFor(size_t index, size_t number) {
    const WaitingGang& gang = in_.waiting[index];
    const GangShape least = LeastShape(gang);
    if (Kept(gang).empty()) {
      if (!ReserveOf(gang, least)) return;
    } else {
      ForgetKept(gang);
      free_.Release(Kept(gang));
      const bool reserved = ReserveOf(gang, least);
      const Placement rest =
          TakeRest(Kept(gang), reserved ? reservations_.back().kept : Placement());
      if (!reserved) {
        running_[kept_as_.at(&gang)].placement = rest;
        return;
      }
      Reservation& reservation = reservations_.back();
      reservation.kept.insert(reservation.kept.end(), rest.begin(), rest.end());
      reservation.until = absl::InfiniteDuration();
    }
    out_.reserved.push_back(index);
    lines_[number].reserved += Lacks(gang);
    reserver_of_[number] = gang.job;
    why_not_.clear();
  }
  // Whether there is a reservation of it now.
  bool ReserveOf(const WaitingGang& gang, const GangShape& shape) {
    if (Reserve(gang, shape)) return true;
    if (!FitsWhenAllHaveEnded(shape)) {  // workers are lost: nobody waits for it
      unreservable_.insert(shape);
      return false;
    }
    // Others reserved what it needs: nothing that comes after it may take more of that.
    for (size_t i = 0; i < promised_.size(); ++i)
      if (free_.Admits(shape.selector, static_cast<int>(i))) promised_[i] = kAllDevices;
    reservations_.push_back({gang.job, absl::InfiniteDuration(), free_.TakeAll(shape.selector)});
    return true;
  }

  Placement Place(const WaitingGang& gang, const GangShape& shape) {
    const bool known = Kept(gang).empty();  // else it may have more than others
    if (known && gang.lasts == absl::InfiniteDuration() && failed_.contains(shape)) return {};
    // One that ends in time may have what is kept for others.
    std::vector<Reservation*> lent;
    for (Reservation& reservation : reservations_) {
      if (gang.lasts > reservation.until || reservation.until == absl::InfiniteDuration()) continue;
      free_.Release(reservation.kept);
      lent.push_back(&reservation);
    }
    Placement placement = PlaceElsewhere(gang, shape);
    for (Reservation* reservation : lent) {
      for (Share& share : reservation->kept)
        share.devices = std::min(share.devices, free_.free(share.worker));
      free_.Take(reservation->kept);
    }
    if (known && placement.empty() && lent.empty()) failed_.insert(shape);
    return placement;
  }

  // All that is free on workers that the gang avoids.
  Placement TakeAvoided(const WaitingGang& gang) {
    Placement taken;
    for (const int worker : gang.avoided)
      if (free_.free(worker) > 0) taken.push_back({worker, free_.free(worker)});
    free_.Take(taken);
    return taken;
  }

  // Not on workers that the gang avoids, if others of the same kind have room.
  Placement PlaceElsewhere(const WaitingGang& gang, const GangShape& shape) {
    Placement anywhere = free_.Place(shape);
    const bool bad = std::any_of(anywhere.begin(), anywhere.end(), [&](const Share& share) {
      return std::find(gang.avoided.begin(), gang.avoided.end(), share.worker) !=
             gang.avoided.end();
    });
    if (!bad) return anywhere;
    free_.Release(anywhere);
    const Placement left_alone = TakeAvoided(gang);
    Placement elsewhere = free_.Place(shape);
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

  bool Reserve(const WaitingGang& gang, const GangShape& shape) {
    SortByEnd();
    int missing = shape.ranks - free_.FreeFor(shape.selector);
    Placement freed, found;
    absl::Duration until;
    away_.clear();
    for (const bool later : {false, true}) {  // those that began after it reserved come last
      for (size_t j = 0; j < by_end_.size() && found.empty(); ++j) {
        const RunningGang& ends = running_[by_end_[j]];
        if ((gang.reserved.turn > 0 && ends.attempt > gang.reserved.attempt) != later) continue;
        const int devices = AdmittedDevices(shape, ends);
        if (devices == 0) continue;
        const Placement more = ThinkAway(ends);
        freed.insert(freed.end(), more.begin(), more.end());
        until = std::max(until, ends.leaving ? absl::ZeroDuration() : ends.remaining);
        missing -= devices;
        if (missing <= 0) found = free_.Place(shape);
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
    const GangShape shape = LeastShape(gang);
    const int64_t held = lines_[number].in_use + lines_[number].reserved + Lacks(gang);
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
    const auto fits = [&] { return held - own <= LimitOf(queue) && free_.HasRoom(shape); };
    free_.Release(Kept(gang));
    away_.clear();
    for (const size_t i : leaving) take(i);
    bool enough = fits();
    std::vector<size_t> chosen;
    for (size_t j = 0; j < victims.size() && !enough; ++j) {
      const RunningGang& victim = running_[victims[j]];
      const bool borrowed = Index(victim.queue) != number;
      if (borrowed && Surplus(victim.queue) <= given[victim.queue]) continue;
      if (AdmittedDevices(shape, victim) == 0 && (borrowed || held - own <= LimitOf(queue)))
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
    free_.Take(Kept(gang));
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
      const auto add = [&](const Placement& placement) {
        for (const Share& share : placement) workers[Index(share.worker)].devices += share.devices;
      };
      for (const RunningGang& gang : in_.running) add(gang.placement);
      for (const WaitingGang& gang : in_.waiting) add(gang.kept);
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
    const GangShape shape = LeastShape(gang);
    if (!Kept(gang).empty()) {
      free_.Release(Kept(gang));
      const Wait wait{WaitReason::kDevices, "", free_.FreeFor(shape.selector)};
      free_.Take(Kept(gang));
      return wait;
    }
    const auto [it, fresh] = why_not_.try_emplace(shape);
    if (!fresh) return it->second;
    const int free = free_.FreeFor(shape.selector);
    it->second = {WaitReason::kDevices, "", free};
    for (const Reservation& reservation : reservations_) {
      int kept = 0;
      for (const Share& share : reservation.kept)
        kept += free_.Admits(shape.selector, share.worker) ? share.devices : 0;
      if (kept == 0 || free + kept < shape.ranks) continue;
      it->second = {WaitReason::kBehind, reservation.job};
      break;
    }
    return it->second;
  }

  const SchedulerInput& in_;
  // With those that are told to leave, that start, and that keep devices.
  std::vector<RunningGang> running_;
  FreeDevices free_;
  std::vector<int> promised_;  // by worker: what reservations take of gangs that run
  std::vector<Line> lines_;
  std::set<Turn> turns_;
  std::vector<std::pair<Entry, size_t>> last_;  // that run, after all that wait; and their queues
  std::vector<const WaitingGang*> reserving_;   // from an earlier pass
  std::vector<size_t> by_end_;                  // indices of running
  const Placement none_;
  std::set<const WaitingGang*> forfeited_;        // those that keep nothing
  std::map<const WaitingGang*, size_t> kept_as_;  // what gangs keep: indices of running
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
    for (const Share& share : from.kept)
      input.workers[static_cast<size_t>(share.worker)].devices += share.devices;
    RunningGang to;
    to.queue = from.queue;
    to.priority = from.priority;
    to.placement = start.placement;
    to.placement.insert(to.placement.end(), start.spares.begin(), start.spares.end());
    to.devices = DevicesOf(to.placement);
    for (const Share& share : to.placement)
      input.workers[static_cast<size_t>(share.worker)].devices -= share.devices;
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
  for (const WaitingGang& waiting : input.waiting) {
    for (const absl::Duration in : {waiting.ready_in, waiting.shrinks_in})
      if (in > absl::ZeroDuration()) step = std::min(step, in);
  }
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
    waiting.back().shrinks_in = std::max(absl::ZeroDuration(), waiting.back().shrinks_in - step);
  }
  input.waiting = std::move(waiting);
  gang = place;
  return true;
}

}  // namespace

int DevicesOf(const Placement& placement) {
  int devices = 0;
  for (const Share& share : placement) devices += share.devices;
  return devices;
}

Schedule MakeSchedule(const SchedulerInput& input) { return Pass(input).Run(); }

std::optional<absl::Duration> EstimateStart(SchedulerInput input, size_t gang) {
  input.wishes.clear();
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
