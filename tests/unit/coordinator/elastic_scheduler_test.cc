// Elastic gangs, spares and kept devices: each rule of scheduler.h alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/scheduler_load.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A running gang that wants more.
WaitingGang& Wish(Load& load, size_t running, int ranks, int64_t number) {
  WaitingGang& wish = load.wishes.emplace_back().wish;
  load.wishes.back().gang = running;
  wish.job = load.running[running].job;
  wish.queue = load.running[running].queue;
  wish.shape.ranks = ranks;
  wish.kept = load.running[running].placement;
  wish.number = number;
  return wish;
}
// It keeps what is free now.
void Keep(Load& load, WaitingGang& gang, const Placement& placement) {
  for (const Share& share : placement)
    load.workers[static_cast<size_t>(share.worker)].devices -= share.devices;
  gang.kept = placement;
  gang.kept_since = 1;
  gang.had = gang.shape.ranks;
}

TEST(ElasticScheduler, AGangStartsWithTheMostRanksThatFindRoom) {
  for (const auto& [machines, ranks] :
       {std::pair(std::vector{4, 4}, 8), std::pair(std::vector{4, 3}, 4),
        std::pair(std::vector{2, 1}, 2)}) {
    Load load(machines);
    load.Wait(8).smaller = {4, 2};
    const Schedule schedule = MakeSchedule(load);
    ASSERT_EQ(schedule.starts.size(), 1u) << ranks;
    EXPECT_EQ(DevicesOf(schedule.starts[0].placement), ranks);
  }
  Load load({1});
  load.Wait(8).smaller = {4, 2};
  EXPECT_EQ(Reason(MakeSchedule(load), 0), WaitReason::kCapacity);
}

TEST(ElasticScheduler, GroupsStayWholeOnTheirMachines) {
  Load load({3, 2});
  WaitingGang& gang = load.Wait(8);
  gang.smaller = {6, 4, 2};
  gang.shape.group_ranks = 2;
  gang.shape.within = "machine";
  Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_EQ(DevicesOf(schedule.starts[0].placement), 4);
  gang.shape.group_ranks = 8;  // one group, however many ranks there are
  gang.smaller = {4, 3, 2, 1};
  schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_THAT(schedule.starts[0].placement, ElementsAre(Share{0, 3}));
}

TEST(ElasticScheduler, AGangBorrowsAndReservesForItsFewestRanksOnly) {
  Load load({8});
  const int queue = load.AddQueue(3, 5);
  load.Wait(8, queue).smaller = {6, 4, 2};
  Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_EQ(DevicesOf(schedule.starts[0].placement), 2) << "4 would borrow";
  load.waiting[0].smaller = {6, 4};
  schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_EQ(DevicesOf(schedule.starts[0].placement), 8) << "it borrows in any case";
  Load busy({4});
  busy.Run({{0, 3}});
  busy.Wait(4).smaller = {2};
  busy.Wait(1);
  EXPECT_THAT(Started(MakeSchedule(busy)), ElementsAre(1)) << "two are free when the first ends";
  busy.waiting[0].smaller = {};
  EXPECT_THAT(Started(MakeSchedule(busy)), IsEmpty());
}

TEST(ElasticScheduler, AGangPreemptsForItsFewestRanks) {
  Load load({4});
  for (int i = 0; i < 4; ++i) load.Run({{0, 1}}).preemptible = true;
  load.Wait(4, 0, 1).smaller = {2};
  EXPECT_EQ(Victims(MakeSchedule(load)).size(), 2u);
}

TEST(ElasticScheduler, SparesComeAfterAllRanksOnOtherMachinesAndBorrowNothing) {
  Load load({3, 2});
  load.Wait(2).spares = 2;
  Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_THAT(schedule.starts[0].placement, ElementsAre(Share{1, 2}));
  EXPECT_THAT(schedule.starts[0].spares, ElementsAre(Share{0, 2}));
  Load full({2, 1});
  full.Wait(2).spares = 2;
  schedule = MakeSchedule(full);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_THAT(schedule.starts[0].spares, ElementsAre(Share{1, 1})) << "fewer do";
  Load few({3});
  few.Wait(4).smaller = {2};
  few.waiting[0].spares = 1;
  schedule = MakeSchedule(few);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_THAT(schedule.starts[0].spares, IsEmpty()) << "ranks are missing";
  Load poor({4});
  poor.Wait(2, poor.AddQueue(3, 1)).spares = 2;
  schedule = MakeSchedule(poor);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_EQ(DevicesOf(schedule.starts[0].spares), 1) << "another one would be borrowed";
}

TEST(ElasticScheduler, KeptDevicesAreNobodyElses) {
  Load load({2, 2});
  Keep(load, load.Wait(2), {{0, 1}, {1, 1}});
  load.waiting[0].ready_in = absl::Seconds(2);
  load.Wait(4, 0, 9);
  load.Wait(1, 0, 9);
  Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), IsEmpty()) << "what is free is reserved for the first";
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kBackoff);
  load.waiting[0].ready_in = absl::ZeroDuration();
  schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(0)) << "it waits for nobody's leave";
}

TEST(ElasticScheduler, WhatIsLackingBesidesKeptDevicesWaitsItsTurn) {
  Load load({2, 2});
  Keep(load, load.Wait(3), {{0, 2}});
  load.Wait(2, 0, 9);
  Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(1));
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kDevices);
  EXPECT_EQ(schedule.waits[0].free, 2) << "those that it keeps";
  load.waiting[0].smaller = {2};
  schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(1, 0));
  EXPECT_EQ(DevicesOf(schedule.starts[1].placement), 2);
}

TEST(ElasticScheduler, ALossIsWaitedForAWhileBeforeTheGangShrinks) {
  Load load({2, 2});
  load.workers[1].devices = 0;
  load.capacity[1] = 2;
  WaitingGang& gang = load.Wait(4);
  gang.smaller = {2};
  Keep(load, gang, {{0, 2}});
  gang.shrinks_in = absl::Seconds(3);
  Schedule schedule = MakeSchedule(load);
  EXPECT_EQ(Reason(schedule, 0), WaitReason::kBackoff);
  EXPECT_EQ(schedule.waits[0].ready_in, absl::Seconds(3));
  load.workers[1].devices = 2;  // it is back
  schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_EQ(DevicesOf(schedule.starts[0].placement), 4);
  load.workers[1].devices = 0;
  gang.shrinks_in = absl::ZeroDuration();
  schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.starts.size(), 1u);
  EXPECT_EQ(DevicesOf(schedule.starts[0].placement), 2);
}

TEST(ElasticScheduler, WhatAGangTookInPassingIsNotKept) {
  Load load({2});
  load.Wait(2).reserved = {1, /*attempt=*/7};
  WaitingGang& passed = load.Wait(1);
  Keep(load, passed, {{0, 1}});
  passed.kept_since = 7;
  passed.ready_in = absl::Seconds(1);
  Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), IsEmpty());
  EXPECT_THAT(schedule.forfeits, IsEmpty());
  load.waiting[1].kept_since = 8;
  schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(0));
  EXPECT_THAT(schedule.forfeits, ElementsAre(1));
  load.waiting[0].shape.selector = {{"device", "cuda"}};  // of no use to it
  EXPECT_THAT(MakeSchedule(load).forfeits, IsEmpty());
}

TEST(ElasticScheduler, KeptDevicesCountForTheQueue) {
  Load load({4});
  const int queue = load.AddQueue(2, 0);
  Keep(load, load.Wait(2, queue), {{0, 2}});
  load.waiting[0].ready_in = absl::Seconds(1);
  load.Wait(1, queue, 9);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), IsEmpty());
  EXPECT_EQ(Reason(schedule, 1), WaitReason::kQuota);
}

TEST(ElasticScheduler, AGangGrowsAtItsPlaceInTheQueue) {
  Load load({4});
  load.Run({{0, 2}});
  Wish(load, 0, 4, 5);
  Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.growths.size(), 1u);
  EXPECT_EQ(schedule.growths[0].ranks, 4);
  EXPECT_THAT(schedule.growths[0].more, ElementsAre(Share{0, 2}));
  EXPECT_TRUE(schedule.growths[0].ready);
  load.Wait(1).number = 6;
  EXPECT_THAT(Started(MakeSchedule(load)), IsEmpty()) << "it is behind";
  load.waiting[0].number = 4;
  schedule = MakeSchedule(load);
  EXPECT_THAT(Started(schedule), ElementsAre(0));
  EXPECT_THAT(schedule.growths, IsEmpty()) << "one device is too few";
}

TEST(ElasticScheduler, DevicesToGrowAreKeptUntilItIsTime) {
  Load load({4});
  load.Run({{0, 2}});
  Wish(load, 0, 4, 5).ready_in = absl::Seconds(30);
  WaitingGang& late = load.Wait(1);
  late.number = 6;
  late.lasts = absl::Seconds(1);
  const Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.growths.size(), 1u);
  EXPECT_FALSE(schedule.growths[0].ready);
  EXPECT_THAT(Started(schedule), IsEmpty());
}

TEST(ElasticScheduler, NobodyMakesRoomForAGangToGrow) {
  Load load({4});
  load.Run({{0, 2}});
  load.Run({{0, 2}}).preemptible = true;
  load.running[1].priority = -5;
  Wish(load, 0, 4, 5);
  const Schedule schedule = MakeSchedule(load);
  EXPECT_THAT(schedule.growths, IsEmpty());
  EXPECT_THAT(Victims(schedule), IsEmpty());
  EXPECT_THAT(schedule.reserved, IsEmpty());
}

TEST(ElasticScheduler, AGangGrowsWithinItsQueuesLimits) {
  Load load({8});
  const int queue = load.AddQueue(3, 2);
  load.Run({{0, 2}}, queue);
  Wish(load, 0, 8, 5).smaller = {5, 3};
  Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.growths.size(), 1u);
  EXPECT_EQ(schedule.growths[0].ranks, 3) << "5 would borrow, and it need not";
  load.wishes[0].wish.smaller = {5};
  schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.growths.size(), 1u);
  EXPECT_EQ(schedule.growths[0].ranks, 5);
  load.wishes[0].wish.smaller = {};
  EXPECT_THAT(MakeSchedule(load).growths, IsEmpty()) << "8 are more than quota and borrowing";
}

TEST(ElasticScheduler, AGangThatRunsGetsTheSparesThatItLacks) {
  Load load({2, 2});
  load.Run({{0, 2}});
  Wish(load, 0, 2, 5).spares = 2;
  const Schedule schedule = MakeSchedule(load);
  ASSERT_EQ(schedule.growths.size(), 1u);
  EXPECT_EQ(schedule.growths[0].ranks, 2);
  EXPECT_THAT(schedule.growths[0].more, ElementsAre(Share{1, 2}));
}

TEST(ElasticScheduler, AnEstimateKnowsThatKeptDevicesAreItsOwn) {
  Load load({2, 2});
  load.Run({{1, 2}}, 0, absl::Minutes(1));
  Keep(load, load.Wait(2), {{0, 2}});
  load.waiting[0].lasts = absl::Minutes(10);
  load.waiting[0].ready_in = absl::Seconds(5);
  load.Wait(4);
  EXPECT_EQ(EstimateStart(load, 0), absl::Seconds(5));
  EXPECT_EQ(EstimateStart(load, 1), absl::Minutes(10) + absl::Seconds(5));
}

}  // namespace
}  // namespace seer::coordinator
