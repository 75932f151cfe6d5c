// Gangs that stand still, made up rank by rank: who is named, and whether the gang is ended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/core/hang_finding.h"
#include "coordinator/core/retry.h"

namespace seer::coordinator {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::Duration kNow = absl::Seconds(1000), kLimit = absl::Seconds(30);
constexpr absl::Duration kAnyLook = -absl::InfiniteDuration();

RankActivity Does(const std::string& doing, double seconds, std::vector<GroupActivity> groups = {},
                  const std::string& detail = "") {
  RankActivity activity;
  activity.doing = doing;
  activity.detail = detail;
  activity.seconds = seconds;
  activity.groups = std::move(groups);
  activity.steps_done = 40;
  activity.seen = kNow;
  return activity;
}

// Has entered `entered` all-reduces of the world, and seen the end of `completed`.
GroupActivity World(int64_t entered, int64_t completed) {
  return {"world", 0, entered, completed, "all-reduce"};
}
// Waits in number `number` of the world, as a rank does that waits for each it enters.
RankActivity Waits(int64_t number, double seconds) {
  return Does("collective", seconds, {World(number, number - 1)},
              "all-reduce " + std::to_string(number) + " of world");
}

Attempt Gang(std::vector<RankActivity> activities) {
  Attempt attempt;
  for (size_t i = 0; i < activities.size(); ++i) {
    Rank& rank = attempt.ranks.emplace_back();
    rank.worker = "w" + std::to_string(i);
    rank.state = RankState::kRunning;
    rank.activity = std::move(activities[i]);
  }
  return attempt;
}

HangFinding Find(const Attempt& attempt, absl::Duration limit = kLimit) {
  return FindHang(attempt, kNow, kAnyLook, limit);
}
HangFinding Find(std::vector<RankActivity> activities) { return Find(Gang(std::move(activities))); }

TEST(HangLimit, FollowsTheAttemptsOwnPaceBetweenTwoBounds) {
  const absl::Duration floor = absl::Seconds(30), timeout = absl::Minutes(10);
  EXPECT_EQ(HangLimit(0.1, floor, timeout), floor);
  EXPECT_EQ(HangLimit(6, floor, timeout), absl::Seconds(120));
  EXPECT_EQ(HangLimit(60, floor, timeout), timeout);
  EXPECT_EQ(HangLimit(0, floor, timeout), floor);
  EXPECT_EQ(HangLimit(0.1, floor, absl::Seconds(10)), absl::Seconds(10)) << "a shorter timeout";
}

TEST(FindHang, ARankThatWaitsForDataIsNamedAndLeftToTheStreamsLimit) {
  const HangFinding finding =
      Find({Waits(812, 41), Waits(812, 41), Waits(812, 40), Does("data", 41.9, {World(811, 811)})});
  EXPECT_EQ(finding.kind, HangKind::kData);
  EXPECT_FALSE(finding.abort) << "a new attempt would wait for the same data";
  EXPECT_EQ(finding.rank, 3);
  EXPECT_EQ(finding.failure, FailureClass::kNetwork);
  EXPECT_EQ(finding.message,
            "rank 3 on w3 never entered all-reduce 812 of world: waiting for data for 41s; ranks "
            "0-2 wait for it");
}

TEST(FindHang, ARankThatComputesWithoutEndEndsTheGang) {
  const HangFinding finding = Find({Does("compute", 33, {World(56, 56)}), Waits(57, 33)});
  EXPECT_EQ(finding.kind, HangKind::kMissing);
  EXPECT_TRUE(finding.abort);
  EXPECT_EQ(finding.rank, 0);
  EXPECT_EQ(finding.failure, FailureClass::kDevice);
  EXPECT_TRUE(PolicyOf(finding.failure).elsewhere) << "its worker is left";
  EXPECT_EQ(finding.message,
            "rank 0 on w0 never entered all-reduce 57 of world: computing for 33s; rank 1 waits "
            "for it");
}

TEST(FindHang, ARankThatIsStuckOnTheHostIsItsMachinesFault) {
  const HangFinding finding = Find({Does("host", 33, {World(56, 56)}), Waits(57, 33)});
  EXPECT_EQ(finding.kind, HangKind::kMissing);
  EXPECT_TRUE(finding.abort);
  EXPECT_EQ(finding.failure, FailureClass::kMachine);
}

TEST(FindHang, AStoppedProcessIsNamedWhateverElseIsSeen) {
  for (const char* in : {"compute", "collective (all-reduce 57 of world)", "data"}) {
    RankActivity stopped = Does("stopped", 31, {World(56, 56)}, std::string("in ") + in);
    const HangFinding finding =
        Find({Waits(57, 31), stopped, Does("data", 31, {World(56, 56)}), Waits(57, 31)});
    EXPECT_EQ(finding.kind, HangKind::kStopped);
    EXPECT_TRUE(finding.abort);
    EXPECT_EQ(finding.rank, 1);
    EXPECT_EQ(finding.failure, FailureClass::kMachine);
    EXPECT_EQ(finding.sign, "stopped");
    EXPECT_EQ(
        finding.message,
        std::string("rank 1 on w1 is stopped by a signal or a debugger (in ") + in + ") for 31s");
  }
}

TEST(FindHang, WhereAllEnteredAndNoneCompletedItIsTheNetwork) {
  const HangFinding finding = Find({Waits(812, 41), Waits(812, 40), Waits(812, 41)});
  EXPECT_EQ(finding.kind, HangKind::kNetwork);
  EXPECT_TRUE(finding.abort);
  EXPECT_EQ(finding.rank, -1);
  EXPECT_EQ(finding.failure, FailureClass::kNetwork);
  EXPECT_THAT(finding.message, HasSubstr("ranks 0-2: waiting in all-reduce 812 of world for 41s"));
}

TEST(FindHang, OnGpusTheHostGoesOnToTheStepsEndAndWaitsThere) {
  // Rank 1's host never came to number 103; the others are at the end of the step.
  const auto at_end = [] { return Does("compute", 35, {World(120, 100)}); };
  HangFinding finding = Find({at_end(), Does("data", 35, {World(100, 100)}), at_end(), at_end()});
  EXPECT_EQ(finding.kind, HangKind::kData);
  EXPECT_EQ(finding.rank, 1);
  EXPECT_THAT(finding.message, StartsWith("rank 1 on w1 never entered collective 101 of world"));
  // All have come there: the fault lies between them.
  finding = Find({at_end(), at_end(), at_end()});
  EXPECT_EQ(finding.kind, HangKind::kNetwork);
  EXPECT_TRUE(finding.abort);
}

TEST(FindHang, AGangThatWaitsForDataAsAWholeIsNotEnded) {
  const HangFinding finding =
      Find({Does("data", 50, {World(10, 10)}), Does("data", 45, {World(10, 10)})});
  EXPECT_EQ(finding.kind, HangKind::kData);
  EXPECT_FALSE(finding.abort);
  EXPECT_EQ(finding.message, "ranks 0, 1: waiting for data for 50s");
}

TEST(FindHang, ACheckpointIsLeftToEnd) {
  const RankActivity writes = Does("checkpoint", 200, {World(10, 10)}, "waits for the one before");
  HangFinding finding = Find({writes, writes});
  EXPECT_EQ(finding.kind, HangKind::kCheckpoint);
  EXPECT_FALSE(finding.abort);
  finding = Find({Waits(11, 190), writes});
  EXPECT_EQ(finding.kind, HangKind::kCheckpoint);
  EXPECT_FALSE(finding.abort);
  EXPECT_EQ(finding.rank, 1);
  EXPECT_THAT(finding.message, HasSubstr("at a checkpoint (waits for the one before) for 3m20s"));
}

TEST(FindHang, ASlowGangThatMovesIsLeftAlone) {
  // The step takes long, but no part of it does.
  EXPECT_EQ(Find({Does("compute", 2, {World(56, 56)}), Waits(57, 1)}).kind, HangKind::kNothing);
  EXPECT_EQ(Find({Waits(57, 0.1), Waits(57, 0.2)}).kind, HangKind::kNothing);
  EXPECT_EQ(Find({Waits(57, 100), Waits(57, 3)}).kind, HangKind::kNothing) << "it has just come";
  EXPECT_EQ(Find({Does("stopped", 3, {World(56, 56)}), Waits(57, 3)}).kind, HangKind::kNothing);
  EXPECT_EQ(Find({Does("compute", 14.9, {World(1, 1)}), Waits(2, 14)}).kind, HangKind::kNothing);
  EXPECT_EQ(Find({Does("compute", 15, {World(1, 1)}), Waits(2, 14)}).kind, HangKind::kMissing);
}

TEST(FindHang, ALoneRankHasTwiceTheTime) {
  EXPECT_EQ(Find({Does("compute", 59)}).kind, HangKind::kNothing);
  const HangFinding finding = Find({Does("compute", 61)});
  EXPECT_EQ(finding.kind, HangKind::kStuck);
  EXPECT_TRUE(finding.abort);
  EXPECT_EQ(finding.rank, 0);
  EXPECT_EQ(finding.failure, FailureClass::kDevice);
  EXPECT_EQ(finding.message, "rank 0: computing for 1m1s");
  EXPECT_EQ(Find({Does("data", 31)}).kind, HangKind::kData);
  EXPECT_EQ(Find({Does("stopped", 31)}).kind, HangKind::kStopped);
}

TEST(FindHang, ARankThatHasGoneBeyondWhatTheOthersWaitInIsTheCauseIfItStandsStill) {
  const HangFinding finding = Find({Waits(57, 31), Does("compute", 31, {World(57, 57)})});
  EXPECT_EQ(finding.kind, HangKind::kStuck);
  EXPECT_TRUE(finding.abort);
  EXPECT_EQ(finding.rank, 1);
  EXPECT_EQ(finding.failure, FailureClass::kDevice);
}

TEST(FindHang, OfSeveralThatAreMissingTheOneThatStoodStillFirstIsTheCause) {
  const HangFinding finding = Find(
      {Waits(57, 30), Does("host", 20, {World(56, 56)}), Does("compute", 31, {World(56, 56)})});
  EXPECT_EQ(finding.rank, 2);
  EXPECT_EQ(finding.failure, FailureClass::kDevice);
}

TEST(FindHang, ARankThatWaitsForOthersItselfIsNoCause) {
  // Ranks 2 and 3 wait for rank 1 in a group of their own with it, rank 0 for rank 2 in the world.
  const auto norms = [](int64_t entered, int64_t completed) {
    return GroupActivity{"norms", 1, entered, completed, "all-reduce"};
  };
  const HangFinding finding =
      Find({Waits(9, 40), Does("compute", 41, {World(8, 8), norms(4, 4)}),
            Does("collective", 40, {World(8, 8), norms(5, 4)}, "all-reduce 5 of norms"),
            Does("collective", 40, {World(8, 8), norms(5, 4)}, "all-reduce 5 of norms")});
  EXPECT_EQ(finding.rank, 1);
  EXPECT_EQ(finding.kind, HangKind::kMissing);
  EXPECT_THAT(finding.message, HasSubstr("never entered all-reduce 9 of world"));
}

TEST(FindHang, GroupsOfOneNameAreToldApartByTheirFirstRank) {
  const auto norms = [](int first, int64_t entered) {
    return GroupActivity{"norms", first, entered, entered - 1, "all-reduce"};
  };
  // Both groups stand still at their own numbers: nobody is behind in his group.
  const HangFinding finding =
      Find({Does("collective", 40, {norms(0, 7)}, "all-reduce 7 of norms"),
            Does("collective", 40, {norms(0, 7)}, "all-reduce 7 of norms"),
            Does("collective", 40, {norms(2, 3)}, "all-reduce 3 of norms"),
            Does("collective", 40, {norms(2, 3)}, "all-reduce 3 of norms")});
  EXPECT_EQ(finding.kind, HangKind::kNetwork);
}

TEST(FindHang, WhatIsNotKnownIsNotGuessed) {
  EXPECT_EQ(Find(Gang({})).kind, HangKind::kNothing);
  Attempt gang = Gang({Waits(57, 40), Waits(57, 40)});
  gang.ranks[1].activity.reset();  // its agent says nothing: its lease decides
  EXPECT_EQ(Find(gang).kind, HangKind::kNothing);
  gang = Gang({Waits(57, 40), Waits(57, 40)});
  gang.ranks[1].activity->seen = kNow - absl::Seconds(5);
  EXPECT_EQ(FindHang(gang, kNow, kNow - absl::Seconds(3), kLimit).kind, HangKind::kNothing);
  EXPECT_EQ(FindHang(gang, kNow, kNow - absl::Seconds(5), kLimit).kind, HangKind::kNetwork);
  // One that is known to be missing is enough.
  gang = Gang({Waits(57, 40), Does("compute", 40, {World(56, 56)}), Waits(57, 40)});
  gang.ranks[2].activity.reset();
  EXPECT_EQ(Find(gang).rank, 1);
  // Ranks that have ended are not waited for.
  gang.ranks[1].state = RankState::kExited;
  gang.ranks[2].state = RankState::kExited;
  EXPECT_EQ(Find(gang).kind, HangKind::kNetwork);
}

TEST(FindHang, WhatWasSeenAWhileAgoHasGoneOnSince) {
  Attempt gang = Gang({Does("compute", 10, {World(56, 56)}), Waits(57, 10)});
  EXPECT_EQ(Find(gang).kind, HangKind::kNothing);
  for (Rank& rank : gang.ranks) rank.activity->seen = kNow - absl::Seconds(9);
  EXPECT_THAT(Find(gang).message, HasSubstr("computing for 19s"));
}

TEST(DescribeRanks, SaysWhatEachDoesInOneSentence) {
  EXPECT_EQ(DescribeRanks(Gang({}), kNow), "");
  EXPECT_EQ(DescribeRanks(Gang({Waits(8, 5), Does("data", 590), Waits(8, 4), Waits(8, 7),
                                Does("start", 3, {}, "joins the gang"), Waits(8, 1)}),
                          kNow),
            "ranks 0, 2, 3, 5: waiting in all-reduce 8 of world for 7s; rank 1: waiting for data "
            "for 9m50s; rank 4: starting (joins the gang) for 3s");
}

RankActivity Takes(double input, double host, double compute, double wait) {
  RankActivity activity = Does("compute", 0);
  activity.input_seconds = input;
  activity.host_seconds = host;
  activity.compute_seconds = compute;
  activity.wait_seconds = wait;
  return activity;
}

const char* Slow(const Attempt& attempt, size_t rank) {
  return SlowPart(*attempt.ranks[rank].activity, MedianOf(attempt));
}

TEST(SlowPart, NamesWhatARankTakesLongerForThanItsGang) {
  const Attempt gang = Gang({Takes(0.01, 0.05, 1.1, 0.8), Takes(0.01, 0.05, 1.92, 0),
                             Takes(0.01, 0.05, 1.0, 0.9), Takes(0.01, 0.05, 1.1, 0.8)});
  EXPECT_STREQ(Slow(gang, 1), "compute");
  for (const size_t other : {0, 2, 3}) EXPECT_EQ(Slow(gang, other), nullptr);
  EXPECT_EQ(DescribeSlow(gang, 1, "compute", MedianOf(gang)),
            "rank 1 on w1 is slow: compute 1.920 s a step, the median of its gang is 1.100 s "
            "(input 0.010 s, host 0.050 s, compute 1.920 s, wait 0.000 s)");
}

TEST(SlowPart, TheLargestExcessIsTheOneThatIsNamed) {
  const Attempt gang = Gang({Takes(0, 0.1, 1, 1), Takes(0.9, 0.4, 1.1, 0), Takes(0, 0.1, 1, 1)});
  EXPECT_STREQ(Slow(gang, 1), "input");
  EXPECT_STREQ(Slow(Gang({Takes(0, 0.1, 1, 1), Takes(0, 0.9, 1, 0)}), 1), "host");
}

TEST(SlowPart, OfTwoRanksTheOtherOneIsTheMeasure) {
  const Attempt gang = Gang({Takes(0, 0, 2, 0), Takes(0, 0, 1, 1)});
  EXPECT_STREQ(Slow(gang, 0), "compute");
  EXPECT_EQ(Slow(gang, 1), nullptr);
}

TEST(SlowPart, WhatIsSmallOrUnknownIsNothing) {
  EXPECT_EQ(Slow(Gang({Takes(0.09, 0, 1, 0), Takes(0, 0, 1, 0.09)}), 0), nullptr)
      << "less than a tenth of the step";
  EXPECT_EQ(Slow(Gang({Takes(0, 0, 0.009, 0), Takes(0, 0, 0.001, 0)}), 0), nullptr) << "noise";
  EXPECT_EQ(Slow(Gang({Takes(0, 0, 1.5, 0), Takes(0, 0, 1, 0.5)}), 0), nullptr) << "not more";
  EXPECT_EQ(Slow(Gang({Takes(0, 0, 2, 0)}), 0), nullptr) << "alone";
  Attempt gang = Gang({Takes(0, 0, 2, 0), Takes(0, 0, 1, 1)});
  gang.ranks[0].activity->steps_done = 9;
  EXPECT_EQ(Slow(gang, 0), nullptr) << "its first steps are slow";
  gang = Gang({Takes(0, 0, 2, 0), Takes(0, 0, 1, 1)});
  gang.ranks[1].activity.reset();
  EXPECT_EQ(Slow(gang, 0), nullptr);
}

TEST(RankSkew, IsTheDifferenceOfTheSlowestAndTheFastest) {
  EXPECT_EQ(RankSkewSeconds(Gang({Takes(0, 0, 2, 0)})), std::nullopt);
  const auto skew = RankSkewSeconds(
      Gang({Takes(0.1, 0.1, 1, 0.9), Takes(0.5, 0.1, 1, 0.5), Takes(0.1, 0, 1, 1)}));
  ASSERT_TRUE(skew.has_value());
  EXPECT_NEAR(*skew, 0.5, 1e-9);
}

}  // namespace
}  // namespace seer::coordinator
