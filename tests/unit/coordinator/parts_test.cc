// The pure parts of the core, each alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"
#include "coordinator/core/core.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/core/effect.h"
#include "coordinator/core/job_states.h"
#include "coordinator/core/leases.h"
#include "coordinator/core/retention.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/scheduler.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(StorePort, RotatesBelowTheRangeOfEphemeralPorts) {
  std::set<int> ports;
  for (int64_t id = 1; id <= 10000; ++id) ports.insert(StorePort(id));
  EXPECT_EQ(ports.size(), 10000u);
  EXPECT_EQ(*ports.begin(), 20000);
  EXPECT_EQ(*ports.rbegin(), 29999);
}

TEST(JobStates, EndsAreFinalAndEveryOtherStateCanBeLeft) {
  for (int i = 1; i <= 9; ++i) {
    const auto from = static_cast<JobState>(i);
    int ways = 0;
    for (int j = 1; j <= 9; ++j) ways += CanChange(from, static_cast<JobState>(j));
    EXPECT_EQ(ways == 0, Ended(from)) << StateName(from);
    if (!Ended(from)) {
      EXPECT_TRUE(CanChange(from, JobState::kCancelled)) << StateName(from);
    }
    EXPECT_LE(Active(from) + Waiting(from) + Ended(from), 1);
  }
  EXPECT_FALSE(CanChange(JobState::kQueued, JobState::kRunning));
  EXPECT_FALSE(CanChange(JobState::kPaused, JobState::kRunning));
}

TEST(LeaseTable, ExpiresOnceAfterSilence) {
  LeaseTable leases(absl::Seconds(15));
  leases.Renew("a", absl::Seconds(0));
  leases.Renew("b", absl::Seconds(10));
  EXPECT_THAT(leases.TakeExpired(absl::Seconds(15)), IsEmpty());
  EXPECT_THAT(leases.TakeExpired(absl::Seconds(16)), ElementsAre("a"));
  EXPECT_THAT(leases.TakeExpired(absl::Seconds(17)), IsEmpty());
  EXPECT_THAT(leases.TakeExpired(absl::Seconds(26)), ElementsAre("b"));
}

std::vector<RetentionCandidate> Candidates(const std::vector<int64_t>& steps) {
  std::vector<RetentionCandidate> candidates;
  for (const int64_t step : steps) candidates.emplace_back().step = step;
  return candidates;
}

// "8: the newest", and "-4: not the newest" for what is deleted.
std::vector<std::string> Decided(const std::vector<RetentionCandidate>& candidates,
                                 const RetentionPolicy& policy) {
  std::vector<std::string> out;
  const std::vector<RetentionDecision> decisions = DecideRetention(candidates, policy);
  EXPECT_EQ(decisions.size(), candidates.size());
  for (size_t i = 0; i < decisions.size(); ++i)
    out.push_back(
        absl::StrCat(decisions[i].keep ? "" : "-", candidates[i].step, ": ", decisions[i].reason));
  return out;
}

TEST(Retention, KeepsTheLast) {
  EXPECT_THAT(Decided(Candidates({1, 2, 3, 4}), {.last = 2}),
              ElementsAre("-1: not among the last 2", "-2: not among the last 2",
                          "3: among the last 2", "4: the newest"));
  EXPECT_THAT(Decided(Candidates({1, 2}), {.last = 3}),
              ElementsAre("1: among the last 3", "2: the newest"));
  EXPECT_THAT(Decided(Candidates({7}), {.last = 0}), ElementsAre("7: the newest"));
  EXPECT_THAT(Decided({}, {.last = 1}), IsEmpty());
}

TEST(Retention, KeepsMultiplesOfEvery) {
  EXPECT_THAT(Decided(Candidates({5, 10, 15, 20, 25}), {.last = 1, .every = 10}),
              ElementsAre("-5: not the newest; no multiple of 10", "10: a multiple of 10",
                          "-15: not the newest; no multiple of 10", "20: a multiple of 10",
                          "25: the newest"));
}

TEST(Retention, KeepsTheBestAndOfEqualOnesTheLater) {
  std::vector<RetentionCandidate> candidates = Candidates({1, 2, 3, 4, 5});
  candidates[0].top1_ratio = 0.5;
  candidates[1].top1_ratio = 0.75;
  candidates[2].top1_ratio = 0.5;
  EXPECT_THAT(Decided(candidates, {.last = 1, .best = 2}),
              ElementsAre("-1: not the newest; not among the best 2",
                          "2: among the best 2, top-1 75.00%", "3: among the best 2, top-1 50.00%",
                          "-4: not the newest; no evaluation of it has ended", "5: the newest"));
}

TEST(Retention, WhatIsPinnedOrNeededStaysByAnyPolicy) {
  std::vector<RetentionCandidate> candidates = Candidates({1, 2, 3, 4});
  candidates[0].pin = Pin{"alice", "", {}};
  candidates[1].pin = Pin{"bob", "in the paper", {}};
  candidates[2].need = "evaluation job_x reads it";
  candidates[3].pin = Pin{"alice", "", {}};
  EXPECT_THAT(Decided(candidates, {.last = 1}),
              ElementsAre("1: pinned by alice", "2: pinned by bob (in the paper)",
                          "3: evaluation job_x reads it", "4: pinned by alice; the newest"));
  const std::vector<RetentionDecision> decisions = DecideRetention(candidates, {.last = 1});
  EXPECT_TRUE(decisions[2].wanted);
  EXPECT_FALSE(DecideRetention(Candidates({1}), {.last = 1})[0].wanted);
}

TEST(Retention, ADamagedOneStaysUntilTrainingHasPassedIt) {
  std::vector<RetentionCandidate> candidates = Candidates({10, 20, 30});
  candidates[1].corrupt = candidates[2].corrupt = true;
  EXPECT_THAT(
      Decided(candidates, {.last = 1, .every = 10}),
      ElementsAre("10: the newest; a multiple of 10", "20: damaged, until training has passed it",
                  "30: damaged, until training has passed it"));
  candidates[2].corrupt = false;
  candidates[1].top1_ratio = 0.9;
  EXPECT_THAT(Decided(candidates, {.last = 1, .best = 1}),
              ElementsAre("-10: not the newest; no evaluation of it has ended",
                          "-20: damaged, and training has passed it", "30: the newest"));
}

TEST(DataPlan, IsExtendedByLaterStepsAndNewerGenerationsAlone) {
  const std::vector<PlanEntry> recorded = {{0, 3}, {10, 4}};
  EXPECT_TRUE(Extends({{0, 3}, {10, 4}, {20, 6}}, recorded));
  EXPECT_FALSE(Extends(recorded, recorded));
  EXPECT_FALSE(Extends({{0, 3}}, recorded));
  EXPECT_FALSE(Extends({}, recorded));
  EXPECT_FALSE(Extends({{0, 3}}, {}));
  EXPECT_FALSE(Extends({{0, 3}, {11, 4}, {20, 6}}, recorded));
  EXPECT_FALSE(Extends({{0, 3}, {10, 4}, {10, 6}}, recorded));
  EXPECT_FALSE(Extends({{0, 3}, {10, 4}, {20, 4}}, recorded));
}

TEST(DataPlan, ThePresentGenerationIsTheLastEntryThatHasBegun) {
  EXPECT_EQ(GenerationAt({{0, 3}, {100, 4}}, 99), 3);
  EXPECT_EQ(GenerationAt({{0, 3}, {100, 4}}, 100), 4);
  EXPECT_EQ(GenerationAt({}, 5), 0);
  EXPECT_EQ(GenerationAt(TrainingPlan(8), 1'000'000), 8);
}

Attempt Exits(std::vector<int> codes) {
  Attempt attempt;
  for (int code : codes) {
    attempt.ranks.emplace_back();
    attempt.ranks.back().worker = "w";
    attempt.ranks.back().state = RankState::kExited;
    attempt.ranks.back().exit_code = code;
    attempt.ranks.back().diagnosis = Diagnose({code, "", "", {}, false});
    attempt.ranks.back().exited = static_cast<int>(attempt.ranks.size());
  }
  return attempt;
}

TEST(Judge, FindsTheCulpritBehindItsVictims) {
  EXPECT_EQ(Judge(Exits({0, 0})).verdict, Verdict::kSucceeded);
  EXPECT_EQ(Judge(Exits({10, 10})).verdict, Verdict::kPaused);
  EXPECT_EQ(Judge(Exits({0, 10})).verdict, Verdict::kPaused);
  Outcome outcome = Judge(Exits({kExitCollective, kExitOutOfMemory, kExitCollective}));
  EXPECT_EQ(outcome.verdict, Verdict::kRetry);
  EXPECT_EQ(outcome.rank, 1);
  outcome = Judge(Exits({kExitOutOfMemory, kExitData}));
  EXPECT_EQ(outcome.verdict, Verdict::kFail);
  EXPECT_EQ(outcome.rank, 1);
  outcome = Judge(Exits({kLost, kExitCollective}));
  EXPECT_EQ(outcome.reason, "LEASE_LOST");
}

TEST(Judge, RefusedStepsFailTheJobOrStartItAnew) {
  EXPECT_EQ(Judge(Exits({kExitNonFinite, kExitCollective})).verdict, Verdict::kFail);
  const Outcome outcome = Judge(Exits({kExitCollective, kExitRollBack}));
  EXPECT_EQ(outcome.verdict, Verdict::kRetry);
  EXPECT_EQ(outcome.rank, 1);
}

TEST(Judge, AKnownCauseComesBeforeAnUnknownOneAndThenTheFirst) {
  Outcome outcome = Judge(Exits({139, kExitCollective, 13, 137}));
  EXPECT_EQ(outcome.rank, 2);
  EXPECT_EQ(outcome.failure, FailureClass::kOutOfMemory);
  EXPECT_EQ(outcome.sign, "exit 13");
  Attempt attempt = Exits({13, 137, 139});
  attempt.ranks[1].exited = 0;
  EXPECT_EQ(Judge(attempt).rank, 1) << "it exited before";
  outcome = Judge(Exits({kExitCollective, kExitCollective}));
  EXPECT_EQ(outcome.rank, 0);
  EXPECT_EQ(outcome.failure, FailureClass::kNetwork) << "nothing else is known";
}

TEST(Judge, WhatWeEndedIsNobodysFault) {
  Attempt attempt = Exits({137, 137});
  for (Rank& rank : attempt.ranks) rank.killed = true;
  EXPECT_EQ(Judge(attempt).failure, FailureClass::kNone);
  attempt.stop_reason = std::string(reason::kPreempted);
  EXPECT_EQ(Judge(attempt).failure, FailureClass::kNone);
  EXPECT_EQ(Judge(attempt).reason, reason::kPreempted);
}

TEST(Judge, OfAHangTheRankIsToBlameThatWasFoundOut) {
  Attempt attempt = Exits({137, 137});
  for (Rank& rank : attempt.ranks) rank.killed = true;
  attempt.stop_reason = std::string(reason::kHung);
  attempt.stop_message = "rank 1 on w2 is stopped";
  attempt.stop_failure = FailureClass::kMachine;
  attempt.stop_sign = "stopped";
  attempt.stop_rank = 1;
  Outcome outcome = Judge(attempt);
  EXPECT_EQ(outcome.verdict, Verdict::kRetry);
  EXPECT_EQ(outcome.failure, FailureClass::kMachine);
  EXPECT_EQ(outcome.sign, "stopped");
  EXPECT_EQ(outcome.rank, 1);
  EXPECT_EQ(outcome.reason, reason::kHung);
  EXPECT_EQ(outcome.message, "rank 1 on w2 is stopped");
  attempt.ranks[0].exit_code = 139;  // one that ended by itself before says more
  attempt.ranks[0].diagnosis = Diagnose({139, "", "", {}, false});
  attempt.ranks[0].killed = false;
  EXPECT_EQ(Judge(attempt).rank, 0);
}

TEST(Judge, ARankThatTheCoordinatorKilledIsNotToBlame) {
  Attempt attempt = Exits({137, 139});
  attempt.ranks[0].killed = true;
  EXPECT_EQ(Judge(attempt).rank, 1);
  attempt.ranks[0].killed = false;  // somebody else's SIGKILL is a failure of its own
  EXPECT_EQ(Judge(attempt).rank, 0);
}

TEST(RetryPolicy, EachClassHasOneWithANextStep) {
  for (int i = 1; i <= static_cast<int>(FailureClass::kUnknown); ++i) {
    const auto failure = static_cast<FailureClass>(i);
    EXPECT_EQ(PolicyOf(failure).failure, failure);
    EXPECT_GT(std::string(PolicyOf(failure).next_step).size(), 20u);
  }
  EXPECT_EQ(PolicyOf(FailureClass::kNone).failure, FailureClass::kUnknown);
}

TEST(Backoff, DoublesUpToTheMostOfItsClass) {
  const RetryPolicy& machine = PolicyOf(FailureClass::kMachine);
  EXPECT_EQ(Backoff(machine, 1), absl::Milliseconds(500));
  EXPECT_EQ(Backoff(machine, 2), absl::Seconds(1));
  EXPECT_EQ(Backoff(machine, 100), absl::Seconds(30));
  const RetryPolicy& storage = PolicyOf(FailureClass::kStorage);
  EXPECT_EQ(Backoff(storage, 8), absl::Seconds(64));
  EXPECT_EQ(Backoff(storage, 100), absl::Minutes(2));
}

// The store knows a worker's last sign of life from its hello, which may be days old although the
// worker was there when the coordinator went down.
TEST(Core, AWorkerIsNotForgottenBeforeItCanComeBackAfterAStart) {
  Core core{CoreOptions{}};
  Moment now{absl::FromUnixSeconds(1'000'000), absl::Seconds(1000)};
  StoredState state;
  Worker worker;
  worker.name = "w";
  worker.devices = 1;
  worker.heard_time = now.wall - absl::Hours(100);
  state.workers.push_back(worker);
  core.Load(std::move(state), now);
  const auto tick = [&](absl::Duration by) {
    now.wall += by;
    now.steady += by;
    return core.Step(command::Tick{}, now).changes.removed_workers;
  };
  EXPECT_THAT(tick(absl::Seconds(1)), IsEmpty());
  EXPECT_THAT(tick(absl::Seconds(15)), ElementsAre("w")) << "it did not come back";
}

TEST(Changes, MergedTheLastWordOnARecordCounts) {
  Changes changes, later;
  changes.checkpoints = {{"j", 1}, {"j", 2}};
  changes.workers = {"w"};
  later.removed_checkpoints = {{"j", 1}};
  later.removed_workers = {"w"};
  later.jobs = {"j"};
  changes.Merge(later);
  EXPECT_THAT(changes.checkpoints, ElementsAre(CheckpointKey("j", 2)));
  EXPECT_THAT(changes.removed_checkpoints, ElementsAre(CheckpointKey("j", 1)));
  EXPECT_THAT(changes.workers, IsEmpty());
  Changes again;
  again.checkpoints = {{"j", 1}};
  changes.Merge(again);
  EXPECT_THAT(changes.removed_checkpoints, IsEmpty());
}

}  // namespace
}  // namespace seer::coordinator
