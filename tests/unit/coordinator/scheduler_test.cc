// Who starts when: each rule alone, and the promises of scheduler.h under random loads.
#include "coordinator/core/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "tests/unit/coordinator/scheduler_load.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Scheduler, StartsInOrderOfPriorityThenOfNumber) {
  Load load({2});
  load.Wait(1);
  load.Wait(1, 0, 5);
  load.Wait(1, 0, 5);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(1, 2));
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kDevices);
  EXPECT_EQ(Reason(schedule, 1), WaitReason::kNone);
}

TEST(Scheduler, AGangIsPlacedWholeOrNotAtAll) {
  Load load({2, 2});
  load.Run({{0, 1}});
  load.Wait(4);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), IsEmpty());
  EXPECT_EQ(schedule.waits[0].free, 3);
}

TEST(Scheduler, WhatCanNeverBeSaysWhyAndKeepsNobodyWaiting) {
  Load load({2, 2});
  load.classes[0].labels = {{"rack", "1"}};
  load.Wait(5);
  load.Wait(1).shape.selector = {{"gpu", "h100"}};
  WaitingGang& torn = load.Wait(4);
  torn.shape.group_ranks = 4;
  torn.shape.within = "machine";
  WaitingGang& row = load.Wait(2);
  row.shape.group_ranks = 2;
  row.shape.within = "row";
  load.Wait(4);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kCapacity);
  EXPECT_EQ(Reason(schedule, 1), WaitReason::kLabels);
  EXPECT_EQ(Reason(schedule, 2), WaitReason::kTopology);
  EXPECT_EQ(Reason(schedule, 3), WaitReason::kTopology);
  EXPECT_THAT(Started(schedule), ElementsAre(4));
  EXPECT_THAT(schedule.reserved, IsEmpty());
  Load none({});
  none.Wait(1);
  EXPECT_EQ(Reason(MakeSchedule(none), 0), WaitReason::kNoWorkers);
}

TEST(Scheduler, AQueueHoldsNoMoreThanQuotaAndBorrowing) {
  Load load({8});
  const int small = load.AddQueue(2, 1);
  load.Wait(1, small);
  load.Wait(2, small);
  load.Wait(1, small);
  load.Wait(4, small);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(0, 1));
  EXPECT_EQ(Reason(schedule, 2), WaitReason::kQuota);
  EXPECT_EQ(Reason(schedule, 3), WaitReason::kQueueLimit);
}

TEST(Scheduler, AGangThatWaitsForTheQuotaLetsNothingOfItsQueuePass) {
  Load load({8});
  const int small = load.AddQueue(4, 0);
  load.Run({{0, 2}}, small);
  load.Wait(3, small);
  load.Wait(1, small);
  load.Wait(1);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(2)) << "another queue goes on";
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kQuota);
  EXPECT_EQ(Reason(schedule, 1), WaitReason::kBehind);
  EXPECT_EQ(schedule.waits[1].ahead, "w0");
}

TEST(Scheduler, BorrowersComeAfterAllThatStayWithinTheirQuota) {
  Load load({4});
  const int a = load.AddQueue(2, std::nullopt), b = load.AddQueue(2, std::nullopt);
  for (int i = 0; i < 4; ++i) load.Wait(1, a);
  load.Wait(1, b);
  Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(0, 4, 1, 2)) << "a borrows what b does not use";
  load.Wait(1, b);
  schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(0, 4, 1, 5));
}

TEST(Scheduler, TheQueueWithTheLeastInUseByItsWeightGoesFirst) {
  Load load({6});
  const int light = load.AddQueue(std::nullopt, std::nullopt, 1);
  const int heavy = load.AddQueue(std::nullopt, std::nullopt, 2);
  for (int i = 0; i < 6; ++i) load.Wait(1, light);
  for (int i = 0; i < 6; ++i) load.Wait(1, heavy);
  const Schedule schedule = MakeSchedule(load);
  int of_light = 0;
  for (const size_t i : Started(schedule)) of_light += load.waiting[i].queue == light;
  EXPECT_EQ(of_light, 2);
  EXPECT_EQ(schedule.starts.size(), 6u);
}

TEST(Scheduler, ASmallGangPassesOnDevicesThatTheBigOneDoesNotNeed) {
  Load load({4, 1});
  load.Run({{0, 1}});
  load.Wait(4).shape.group_ranks = 4;
  load.waiting[0].shape.within = "machine";
  load.Wait(1);  // fits tightest on the small machine, which the big gang does not need
  load.Wait(1);  // would take what it keeps
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(1));
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kDevices);
  EXPECT_EQ(Reason(schedule, 2), WaitReason::kBehind);
  EXPECT_EQ(schedule.waits[2].ahead, "w0");
  EXPECT_THAT(schedule.reserved, ElementsAre(0, 2));
}

TEST(Scheduler, AGangThatEndsInTimeMayPassOnKeptDevices) {
  Load load({4});
  load.Run({{0, 2}}, 0, absl::Minutes(10));
  load.Wait(4);
  load.Wait(1).lasts = absl::Minutes(11);
  load.Wait(1).lasts = absl::Minutes(9);
  load.Wait(2).lasts = absl::Minutes(9);  // but one device is taken by then
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(2));
}

TEST(Scheduler, AReservationTakesTheDevicesThatAreFreeTheSoonest) {
  Load load({2, 2});
  load.Run({{0, 2}}, 0, absl::Hours(9));
  load.Run({{1, 1}}, 0, absl::Minutes(1));
  load.Wait(2).shape.group_ranks = 2;
  load.waiting[0].shape.within = "machine";
  load.Wait(1).lasts = absl::Hours(1);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), IsEmpty()) << "m1's free device is kept";
  EXPECT_EQ(schedule.waits[1].ahead, "w0");
}

TEST(Scheduler, OneThatBacksOffKeepsItsDevices) {
  Load load({2});
  load.Wait(2).ready_in = absl::Seconds(4);
  load.Wait(1);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), IsEmpty());
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kBackoff);
  EXPECT_EQ(schedule.waits[0].ready_in, absl::Seconds(4));
  EXPECT_EQ(schedule.waits[1].ahead, "w0");
}

TEST(Scheduler, AnAvoidedWorkerIsTakenOnlyIfNoOtherHasRoom) {
  Load load({2, 2});
  load.Wait(2).avoided = {0};
  Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_THAT(schedule.starts[0].placement, ElementsAre(Share{1, 2}));
  load.Run({{1, 1}});
  schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u) << "better there than not at all";
  EXPECT_THAT(schedule.starts[0].placement, ElementsAre(Share{0, 2}));
  load.Wait(1);
  schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(0, 1)) << "what it left alone is there for others";
}

TEST(Scheduler, AnAvoidedGpuIsBetterThanACpu) {
  Load load({2, 2});
  load.classes = {{"cuda", {}}, {"cpu", {}}};
  load.workers[1].worker_class = 1;
  load.Wait(2).avoided = {0};
  const Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_THAT(schedule.starts[0].placement, ElementsAre(Share{0, 2}));
}

TEST(Scheduler, OneThatIsHeldIsPassedBy) {
  Load load({1});
  load.Wait(1).held = true;
  load.Wait(1);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(1));
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kDeletion);
}

TEST(Scheduler, TheHigherPriorityTakesFromThoseThatLoseLeast) {
  Load load({4});
  for (const double cost : {30.0, 10.0, 20.0, 10.0}) {
    RunningGang& gang = load.Run({{0, 1}});
    gang.preemptible = true;
    gang.cost = cost;
  }
  load.Wait(2, 0, 1);
  Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Victims(schedule), ElementsAre(3, 1)) << "of two that lose the same, the newer";
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kPreempting);
  // While they leave nobody else is asked to.
  for (const size_t victim : Victims(schedule)) load.running[victim].leaving = true;
  schedule = MakeSchedule(load);
  EXPECT_THAT(Victims(schedule), IsEmpty());
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kPreempting);
}

TEST(Scheduler, NobodyIsPreemptedInVain) {
  Load load({2, 2});
  load.Run({{0, 1}}).preemptible = true;
  load.Run({{0, 1}}).preemptible = false;  // as often as it may
  load.Run({{1, 2}}).priority = 7;
  load.running[2].preemptible = true;
  load.Wait(2, 0, 5);
  Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Victims(schedule), IsEmpty()) << "one device would not do";
  load.waiting[0].priority = 9;
  load.waiting[0].shape.group_ranks = 2;
  load.waiting[0].shape.within = "machine";
  schedule = MakeSchedule(load);
  EXPECT_THAT(Victims(schedule), ElementsAre(2)) << "the cheaper one is of no use there";
}

TEST(Scheduler, EqualsAreNotPreempted) {
  Load load({1});
  load.Run({{0, 1}}).preemptible = true;
  load.Wait(1);
  EXPECT_THAT(Victims(MakeSchedule(load)), IsEmpty());
}

TEST(Scheduler, AQueueClaimsItsQuotaBackFromThoseThatBorrow) {
  Load load({4});
  const int owner = load.AddQueue(2, 0), borrower = load.AddQueue(1, std::nullopt);
  for (int i = 0; i < 4; ++i) {
    RunningGang& gang = load.Run({{0, 1}}, borrower);
    gang.preemptible = true;
    gang.priority = 100;  // of no use in another queue
    gang.cost = i;
  }
  load.Wait(2, owner);
  load.Wait(1, owner);
  Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Victims(schedule), ElementsAre(0, 1));
  EXPECT_EQ(Reason(schedule, 1), WaitReason::kBehind);
  // Not what the borrower's own quota covers.
  load.queues[static_cast<size_t>(borrower)].quota = 3;
  EXPECT_THAT(Victims(MakeSchedule(load)), IsEmpty()) << "one device would not do";
  load.queues[static_cast<size_t>(borrower)].quota = 2;
  EXPECT_THAT(Victims(MakeSchedule(load)), ElementsAre(0, 1));
  // A borrower claims nothing.
  load.queues[static_cast<size_t>(owner)].quota = 1;
  load.queues[static_cast<size_t>(owner)].borrow = 1;
  EXPECT_THAT(Victims(MakeSchedule(load)), IsEmpty());
}

TEST(Scheduler, AHigherPriorityTakesQuotaFromALowerOneOfItsQueue) {
  Load load({8});
  const int queue = load.AddQueue(2, 0);
  load.Run({{0, 2}}, queue).preemptible = true;
  load.Wait(1, queue, 1);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Victims(schedule), ElementsAre(0));
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kPreempting);
}

TEST(EstimateStart, GoesThroughTheEndsThatAreKnown) {
  Load load({4});
  load.Run({{0, 2}}, 0, absl::Minutes(10));
  load.Run({{0, 2}}, 0, absl::Minutes(30));
  load.Wait(4).lasts = absl::Minutes(5);
  load.Wait(1);
  EXPECT_EQ(EstimateStart(load, 0), absl::Minutes(30));
  EXPECT_EQ(EstimateStart(load, 1), absl::Minutes(35));
  load.waiting[0].lasts = absl::InfiniteDuration();
  EXPECT_EQ(EstimateStart(load, 1), std::nullopt);
  load.Wait(1, 0, 1).ready_in = absl::Minutes(1);
  EXPECT_EQ(EstimateStart(load, 2), absl::Minutes(10));
  load.Wait(9);
  EXPECT_EQ(EstimateStart(load, 3), std::nullopt);
}

// Random gangs come, run and end; every pass is checked.
class World {
 public:
  explicit World(uint64_t seed) : random_(seed, RandomPurpose::kTest, 3), load_({}) {
    const int racks = 1 + Below(3);
    load_.classes.clear();
    for (int i = 0; i < racks; ++i) load_.classes.push_back({"cpu", {{"rack", absl::StrCat(i)}}});
    for (int i = 0; i < 2 + Below(7); ++i) {
      load_.workers.push_back({absl::StrCat("m", i), i % racks, 1 + Below(8)});
      load_.capacity.push_back(load_.workers.back().devices);
      total_ += load_.capacity.back();
    }
  }
  int Below(int n) { return static_cast<int>(random_.Below(static_cast<uint64_t>(n))); }
  Load& load() { return load_; }
  int total() const { return total_; }
  int preempted() const { return preempted_; }

  void Add(int queue, int ranks, int priority = 0) {
    WaitingGang& gang = load_.Wait(ranks, queue, priority);
    gang.number = ++last_number_;
    gang.job = absl::StrCat("j", last_number_);
    if (elastic_) {
      for (int fewer = ranks - 1; fewer > 0 && Below(3) > 0; --fewer)
        if (Below(2) > 0) gang.smaller.push_back(fewer);
      if (Below(3) == 0) gang.spares = 1 + Below(2);
    }
    if (random_.Uniform() < 0.3) gang.lasts = absl::Seconds(1 + Below(40));
    ends_after_[gang.job] =
        gang.lasts < absl::InfiniteDuration() ? gang.lasts : absl::Seconds(1 + Below(60));
  }

  void Second() {
    for (RunningGang& gang : load_.running) {
      gang.remaining -= absl::Seconds(1);
      ends_after_[gang.job] -= absl::Seconds(1);
    }
    std::vector<RunningGang> running;
    for (RunningGang& gang : load_.running) {
      const Info& info = infos_.at(gang.job);
      const bool ends = ends_after_[gang.job] <= absl::ZeroDuration();
      const bool preempted = gang.leaving && Below(2) > 0;
      const bool resized = info.resizing && Below(2) > 0;
      const bool fails = elastic_ && !gang.leaving && Below(40) == 0;
      if (!ends && !preempted && !resized && !fails) {
        running.push_back(gang);
        continue;
      }
      for (const Share& share : gang.placement)
        load_.workers[static_cast<size_t>(share.worker)].devices += share.devices;
      if (!ends) StartAgain(gang, /*keeps=*/!preempted, /*loses=*/fails);
    }
    load_.running = std::move(running);
    for (WaitingGang& gang : load_.waiting) {
      gang.ready_in = std::max(gang.ready_in - absl::Seconds(1), absl::ZeroDuration());
      gang.shrinks_in = std::max(gang.shrinks_in - absl::Seconds(1), absl::ZeroDuration());
      if (!gang.kept.empty() && --infos_.at(gang.job).keeps_for == 0) LoseKept(gang);
    }
    Pass();
  }

  void LoseKept(WaitingGang& gang) {
    for (const Share& share : std::exchange(gang.kept, {}))
      load_.workers[static_cast<size_t>(share.worker)].devices += share.devices;
    ComesBack(gang.job);
  }
  // At its old place, which may be before one that has reserved meanwhile.
  void ComesBack(const std::string& job) {
    for (auto& [reserved, others] : waits_for_) others.insert(job);
  }

  void StartAgain(const RunningGang& gang, bool keeps, bool loses) {
    Info& info = infos_.at(gang.job);
    info.resizing = false;
    WaitingGang& again = load_.waiting.emplace_back(info.gang);
    again.queue = gang.queue;
    if (again.lasts < absl::InfiniteDuration()) again.lasts = ends_after_.at(gang.job);
    if (!keeps) return ComesBack(gang.job);
    again.had = DevicesOf(info.ranks);
    again.kept_since = gang.attempt;
    again.kept = gang.placement;
    if (loses) {  // a device is taken at once, if others want it
      if (--again.kept.back().devices == 0) again.kept.pop_back();
      if (Below(2) > 0) again.ready_in = absl::Seconds(1 + Below(3));
      again.shrinks_in = absl::Seconds(3);
    }
    for (const Share& share : again.kept)
      load_.workers[static_cast<size_t>(share.worker)].devices -= share.devices;
    info.keeps_for = 6;
  }

  void AddWishes() {
    load_.wishes.clear();
    for (size_t i = 0; i < load_.running.size(); ++i) {
      const RunningGang& gang = load_.running[i];
      const Info& info = infos_.at(gang.job);
      if (gang.leaving || info.resizing) continue;
      WaitingGang wish = info.gang;
      const int ranks = DevicesOf(info.ranks);
      wish.spares -= info.spares;
      if (ranks == wish.shape.ranks && wish.spares == 0) continue;
      std::erase_if(wish.smaller, [&](int fewer) { return fewer <= ranks; });
      wish.kept = info.ranks;
      wish.kept_since = gang.attempt;
      if (ranks < wish.shape.ranks) wish.ready_in = absl::Seconds(Below(3));
      wish.lasts = absl::InfiniteDuration();
      load_.wishes.push_back({i, wish});
    }
  }

  void CheckGrowth(const GangGrowth& growth) {
    RunningGang& gang = load_.running[growth.gang];
    Info& info = infos_.at(gang.job);
    EXPECT_FALSE(gang.leaving);
    EXPECT_FALSE(growth.more.empty());
    const int ranks = DevicesOf(info.ranks);
    if (growth.ranks == ranks) {
      info.spares += DevicesOf(growth.more);
      EXPECT_LE(info.spares, info.gang.spares);
      EXPECT_EQ(ranks, info.gang.shape.ranks);
    } else {
      EXPECT_GT(growth.ranks, ranks);
      CheckRanks(growth.ranks, info.gang);
      EXPECT_GE(ranks + DevicesOf(growth.more), growth.ranks);
      if (!growth.ready) return;
      info.resizing = true;
      ++growths_;
    }
    gang.devices += DevicesOf(growth.more);
    gang.preemptible = false;
    for (const Share& share : growth.more) {
      gang.placement.push_back(share);
      load_.workers[static_cast<size_t>(share.worker)].devices -= share.devices;
    }
  }

  static void CheckRanks(int ranks, const WaitingGang& gang) {
    EXPECT_TRUE(ranks == gang.shape.ranks ||
                std::count(gang.smaller.begin(), gang.smaller.end(), ranks) == 1)
        << "a gang placed half";
  }

  void Pass() {
    AddWishes();
    const Schedule schedule = MakeSchedule(load_);
    EXPECT_LE(schedule.reserved.size(), kMaxReservations);
    for (const GangGrowth& growth : schedule.growths) CheckGrowth(growth);
    std::set<size_t> started;
    for (const GangStart& start : schedule.starts) {
      const WaitingGang& gang = load_.waiting[start.gang];
      EXPECT_TRUE(started.insert(start.gang).second);
      EXPECT_EQ(Reason(schedule, start.gang), WaitReason::kNone);
      const int ranks = DevicesOf(start.placement), spares = DevicesOf(start.spares);
      CheckRanks(ranks, gang);
      EXPECT_LE(spares, ranks == gang.shape.ranks ? gang.spares : 0);
      if (gang.shrinks_in > absl::ZeroDuration()) EXPECT_GE(ranks, gang.had);
      RunningGang running;
      running.job = gang.job;
      running.queue = gang.queue;
      running.priority = gang.priority;
      running.devices = ranks + spares;
      running.placement = start.placement;
      running.placement.insert(running.placement.end(), start.spares.begin(), start.spares.end());
      const bool keeps = !gang.kept.empty() && std::count(schedule.forfeits.begin(),
                                                          schedule.forfeits.end(), start.gang) == 0;
      running.attempt = keeps ? gang.kept_since : ++last_attempt_;
      running.remaining = gang.lasts;
      running.preemptible = random_.Uniform() < 0.7;
      running.cost = random_.Uniform();
      for (const Share& share : gang.kept)
        load_.workers[static_cast<size_t>(share.worker)].devices += share.devices;
      for (const Share& share : running.placement)
        load_.workers[static_cast<size_t>(share.worker)].devices -= share.devices;
      load_.running.push_back(running);
      const auto [it, fresh] = infos_.try_emplace(gang.job);
      Info& info = it->second;
      if (fresh) info.gang = gang;
      info.gang.reserved = {};
      info.ranks = start.placement;
      info.spares = spares;
    }
    for (const size_t i : schedule.forfeits) {
      WaitingGang& gang = load_.waiting[i];
      if (started.contains(i)) {
        ComesBack(gang.job);
      } else {
        LoseKept(gang);
      }
    }
    for (const OfferedDevices& worker : load_.workers) EXPECT_GE(worker.devices, 0);
    std::vector<int64_t> in_use(load_.queues.size());
    for (const RunningGang& gang : load_.running)
      in_use[static_cast<size_t>(gang.queue)] += gang.devices;
    for (size_t i = 0; i < in_use.size(); ++i) EXPECT_LE(in_use[i], LimitOf(load_.queues[i]));
    for (const Preemption& preemption : schedule.preemptions) {
      EXPECT_TRUE(load_.running[preemption.victim].preemptible);
      EXPECT_FALSE(std::exchange(load_.running[preemption.victim].leaving, true));
      ++preempted_;
    }
    CheckReservations(schedule);
    std::vector<WaitingGang> waiting;
    for (size_t i = 0; i < load_.waiting.size(); ++i) {
      if (started.contains(i)) continue;
      const WaitingGang& gang = load_.waiting[i];
      EXPECT_NE(Reason(schedule, i), WaitReason::kNone) << "waits without a reason";
      const int least = gang.smaller.empty() ? gang.shape.ranks : gang.smaller.back();
      if (gang.shape.within.empty() && DevicesOf(gang.kept) >= least)
        EXPECT_EQ(Reason(schedule, i), WaitReason::kBackoff) << "it kept enough";
      waiting.push_back(gang);
    }
    load_.waiting = std::move(waiting);
  }

  // Each that reserved starts when all have ended that ran or had reserved when it did.
  void CheckReservations(const Schedule& schedule) {
    std::set<std::string> before;
    for (const RunningGang& running : load_.running) before.insert(running.job);
    for (const WaitingGang& waiting : load_.waiting)
      if (HasDevices(waiting) || waiting.reserved.turn > 0) before.insert(waiting.job);
    for (const size_t i : schedule.reserved) {
      WaitingGang& gang = load_.waiting[i];
      if (gang.reserved.turn == 0) {
        gang.reserved = {++last_turn_, last_attempt_};
        waits_for_[gang.job] = before;
      }
      before.insert(gang.job);
    }
    if (!check_reservations_) return;
    std::set<std::string> alive;
    for (const RunningGang& running : load_.running) alive.insert(running.job);
    for (const WaitingGang& waiting : load_.waiting)
      if (HasDevices(waiting)) alive.insert(waiting.job);
    std::map<int64_t, size_t> by_turn;
    for (const size_t i : schedule.reserved) by_turn[load_.waiting[i].reserved.turn] = i;
    for (const auto& [turn, i] : by_turn) {
      const WaitingGang& gang = load_.waiting[i];
      const std::set<std::string>& others = waits_for_.at(gang.job);
      EXPECT_TRUE(std::any_of(others.begin(), others.end(),
                              [&](const std::string& job) { return alive.contains(job); }))
          << gang.job << " of " << gang.shape.ranks << " starves";
      alive.insert(gang.job);
    }
  }
  void CheckThatReservationsAreKept() { check_reservations_ = true; }
  // From now on gangs may have fewer ranks and spares, lose devices, and grow.
  void MakeElastic() { elastic_ = true; }
  int growths() const { return growths_; }
  // Keeps some, or backs off.
  static bool HasDevices(const WaitingGang& gang) {
    return !gang.kept.empty() || gang.ready_in > absl::ZeroDuration() ||
           gang.shrinks_in > absl::ZeroDuration();
  }
  bool IsStill() const {
    return load_.running.empty() &&
           std::none_of(load_.waiting.begin(), load_.waiting.end(), HasDevices);
  }

 private:
  // Of a gang that has started.
  struct Info {
    WaitingGang gang;  // as it came
    Placement ranks;
    int spares = 0;
    bool resizing = false;
    int keeps_for = 0;  // seconds
  };
  Philox random_;
  Load load_;
  std::map<std::string, absl::Duration> ends_after_;
  std::map<std::string, Info> infos_;
  std::map<std::string, std::set<std::string>> waits_for_;
  int64_t last_number_ = 0, last_attempt_ = 0, last_turn_ = 0;
  int total_ = 0, preempted_ = 0, growths_ = 0;
  bool check_reservations_ = false, elastic_ = false;
};

TEST(SchedulerUnderRandomLoads, NoGangIsHalvedNoLimitIsPassedAndAllStart) {
  int preempted = 0, growths = 0;
  for (uint64_t seed = 1; seed <= 120 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed);
    if (seed > 60) world.MakeElastic();
    for (int i = 0; i < 3; ++i) {
      const auto some = [&]() -> std::optional<int64_t> {
        return world.Below(3) == 0 ? std::nullopt
                                   : std::optional<int64_t>(world.Below(world.total() + 1));
      };
      world.load().AddQueue(some(), some(), 1 + world.Below(3));
    }
    for (int second = 0; second < 300; ++second) {
      if (world.Below(3) == 0) {
        const int queue = world.Below(4);
        const int most = static_cast<int>(std::min<int64_t>(
            world.total(), LimitOf(world.load().queues[static_cast<size_t>(queue)])));
        if (most > 0) {
          world.Add(queue, 1 + world.Below(most), world.Below(3));
          GangShape& shape = world.load().waiting.back().shape;
          if (world.Below(4) == 0) shape.selector = {{"rack", "0"}};
          if (world.Below(4) == 0 && shape.ranks % 2 == 0) {
            shape.group_ranks = 2;
            shape.within = world.Below(2) ? "machine" : "rack";
            std::erase_if(world.load().waiting.back().smaller,
                          [](int ranks) { return ranks % 2 != 0; });
          }
        }
      }
      world.Second();
    }
    for (int second = 0; second < 3000 && !world.IsStill(); ++second) world.Second();
    for (const WaitingGang& gang : world.load().waiting) {
      const Schedule schedule = MakeSchedule(world.load());
      const WaitReason reason =
          Reason(schedule, static_cast<size_t>(&gang - world.load().waiting.data()));
      EXPECT_TRUE(reason == WaitReason::kCapacity || reason == WaitReason::kTopology ||
                  reason == WaitReason::kLabels)
          << gang.job << " still waits: " << WaitReasonName(reason);
    }
    preempted += world.preempted();
    growths += world.growths();
  }
  EXPECT_GT(preempted, 100);
  EXPECT_GT(growths, 20);
}

TEST(SchedulerUnderRandomLoads, ABigGangStartsWhenAllHaveEndedThatRanWhenItReserved) {
  for (uint64_t seed = 1; seed <= 80 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed);
    if (seed > 40) world.MakeElastic();
    world.load().AddQueue(std::nullopt, std::nullopt, 3);
    world.CheckThatReservationsAreKept();
    for (int second = 0; second < 600; ++second) {
      for (int i = 0; i < 3; ++i)  // small ones without end, more than there is room for
        if (world.load().waiting.size() < 40) world.Add(world.Below(2), 1 + world.Below(2));
      if (second % 50 == 10) world.Add(0, world.total());
      world.Second();
    }
  }
}

TEST(SchedulerUnderRandomLoads, SharesComeCloseToTheWeights) {
  World world(5);
  world.load().AddQueue(std::nullopt, std::nullopt, 2);
  world.load().AddQueue(std::nullopt, std::nullopt, 4);
  std::vector<double> used(3);
  for (int second = 0; second < 4000; ++second) {
    for (int queue = 0; queue < 3; ++queue) {
      const auto waits = std::count_if(world.load().waiting.begin(), world.load().waiting.end(),
                                       [&](const WaitingGang& g) { return g.queue == queue; });
      for (auto i = waits; i < 10; ++i) world.Add(queue, 1 + world.Below(2));
    }
    world.Second();
    for (const RunningGang& gang : world.load().running)
      used[static_cast<size_t>(gang.queue)] += gang.devices;
  }
  const double all = used[0] + used[1] + used[2];
  EXPECT_NEAR(used[0] / all, 1 / 7.0, 0.03);
  EXPECT_NEAR(used[1] / all, 2 / 7.0, 0.03);
  EXPECT_NEAR(used[2] / all, 4 / 7.0, 0.03);
}

}  // namespace
}  // namespace seer::coordinator
