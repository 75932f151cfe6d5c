#include "coordinator/core/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"
#include "coordinator/core/core.h"
#include "coordinator/core/data_plan.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

HealthRule Rule(HealthSignal signal, bool above, double bound, int64_t for_steps) {
  HealthRule rule;
  rule.name = "rule";
  rule.signal = signal;
  rule.above = above;
  rule.bound = bound;
  rule.for_steps = for_steps;
  return rule;
}

Progress At(int64_t step) {
  Progress progress;
  progress.step = step;
  progress.step_seconds = 1;
  return progress;
}

TEST(Watch, ASignalMustBeBeyondItsBoundForSoManySteps) {
  const std::vector<HealthRule> rules = {Rule(HealthSignal::kLossOverLnK, true, 0.98, 10)};
  HealthWatch watch;
  const auto see = [&](int64_t step, double loss) {
    Progress progress = At(step);
    progress.loss = loss;
    return Watch(rules, progress, /*ln_k=*/8, watch);
  };
  EXPECT_THAT(see(1, 8), IsEmpty());
  EXPECT_THAT(see(6, 8), IsEmpty());
  EXPECT_THAT(see(9, 7.8), IsEmpty()) << "within: it counts anew";
  EXPECT_THAT(see(12, 8), IsEmpty());
  EXPECT_THAT(see(20, 8), IsEmpty());
  EXPECT_THAT(see(21, 7.9), ElementsAre(0)) << "steps 12 to 21 are ten";
  EXPECT_THAT(see(22, 7.9), ElementsAre(0));
  EXPECT_THAT(see(23, 1), IsEmpty());
}

TEST(Watch, WhatIsNoNumberIsBeyondAnyBound) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const bool above : {true, false}) {
    HealthWatch watch;
    Progress progress = At(5);
    progress.gradient_norm = nan;
    EXPECT_THAT(Watch({Rule(HealthSignal::kGradientNorm, above, 1, 1)}, progress, 8, watch),
                ElementsAre(0));
  }
}

TEST(Watch, EarlierStepsDoNotCount) {
  HealthRule rule = Rule(HealthSignal::kFeatureStd, false, 0.05, 3);
  rule.after_step = 100;
  HealthWatch watch;
  EXPECT_THAT(Watch({rule}, At(100), 8, watch), IsEmpty());
  EXPECT_THAT(Watch({rule}, At(101), 8, watch), IsEmpty());
  EXPECT_THAT(Watch({rule}, At(103), 8, watch), ElementsAre(0));
}

TEST(Watch, RefusedStepsAreThoseSinceTheFirstReport) {
  const std::vector<HealthRule> rules = {Rule(HealthSignal::kSkippedRatio, true, 0.2, 1)};
  HealthWatch watch;
  const auto see = [&](int64_t step, int64_t skipped) {
    Progress progress = At(step);
    progress.skipped_steps = skipped;
    return Watch(rules, progress, 8, watch);
  };
  EXPECT_THAT(see(10, 9), IsEmpty());
  EXPECT_THAT(see(20, 11), IsEmpty());
  EXPECT_THAT(see(30, 14), ElementsAre(0));
}

TEST(Watch, AStepIsComparedWithTheUsualOne) {
  const std::vector<HealthRule> rules = {Rule(HealthSignal::kStepSecondsRatio, true, 3, 1)};
  HealthWatch watch;
  for (int64_t step = 1; step <= 100; ++step)
    EXPECT_THAT(Watch(rules, At(step), 8, watch), IsEmpty());
  Progress slow = At(101);
  slow.step_seconds = 4;
  EXPECT_THAT(Watch(rules, slow, 8, watch), ElementsAre(0));
}

// A job of one rank on one worker, with one rule.
class HealthTest : public ::testing::Test {
 protected:
  void Begin(HealthMode mode, HealthRule rule) {
    Worker worker;
    worker.name = "w";
    worker.devices = 1;
    Do(command::WorkerHello{worker, {}});
    command::CreateJob create;
    create.job.numbers.steps = 1000;
    create.job.numbers.max_restarts = 0;
    create.job.numbers.keep.last = 10;
    create.job.numbers.health = mode;
    create.job.numbers.health_rules = {std::move(rule)};
    create.job.numbers.ln_k = 8;
    create.job.plan = TrainingPlan(1);
    id_ = Do(create).job;
    Start();
  }
  void Start() { Do(command::RankStarted{"w", Running()}); }
  Reply Do(const Command& command) {
    now_.wall += absl::Seconds(1);
    now_.steady += absl::Seconds(1);
    Decision decision = core_.Step(command, now_);
    EXPECT_TRUE(decision.reply.status.ok()) << decision.reply.status;
    for (const Event& event : decision.changes.events) events_.push_back(event);
    stops_ = decision.effects.stop;
    return decision.reply;
  }
  const Job& job() const { return core_.jobs().at(id_); }
  RunningRank Running() const { return {job().attempt->id, "jobs/" + id_, 0}; }
  void See(int64_t step, double loss) {
    Progress progress = At(step);
    progress.loss = loss;
    Do(command::ReportProgress{job().attempt->id, "jobs/" + id_, progress});
  }
  void Checkpoint(int64_t step) {
    Do(command::ReportCheckpoint{
        job().attempt->id, "jobs/" + id_, 0, 1, step, {"rank-0", 1, std::string(64, 'a')}});
    Do(command::CommittedMarked{id_, step});
  }
  void Exit(int code) { Do(command::RankExited{"w", Running(), code, "", ""}); }
  std::vector<std::string> Messages(const std::string& type) const {
    std::vector<std::string> messages;
    for (const Event& event : events_)
      if (event.type == type) messages.push_back(event.message);
    return messages;
  }
  HealthRule Diverges(HealthAction action) const {
    HealthRule rule = Rule(HealthSignal::kLossOverLnK, true, 1, 3);
    rule.action = action;
    return rule;
  }

  Core core_{CoreOptions{.lease = absl::Hours(1)}};
  Moment now_{absl::FromUnixSeconds(1'000'000), absl::Seconds(1000)};
  std::string id_;
  std::vector<Event> events_;
  std::vector<StopRanks> stops_;
};

TEST_F(HealthTest, AdviceIsGivenOnceAndItsEndIsSaid) {
  Begin(HealthMode::kAdvise, Diverges(HealthAction::kPause));
  for (int64_t step = 1; step <= 6; ++step) See(step, 9);
  EXPECT_THAT(Messages("health_alert"),
              ElementsAre("rule: loss over ln K is 1.125, above 1, for 3 steps; advice: pause the "
                          "job"));
  EXPECT_EQ(job().state, JobState::kRunning);
  ASSERT_EQ(job().findings.size(), 1u);
  EXPECT_EQ(job().findings[0].end_step, 0);
  EXPECT_FALSE(job().findings[0].acted);
  See(7, 4);
  EXPECT_EQ(job().findings[0].end_step, 7);
  EXPECT_THAT(Messages("health_ended"), ElementsAre("rule: within its bound again from step 7"));
  for (int64_t step = 8; step <= 12; ++step) See(step, 9);
  EXPECT_EQ(Messages("health_alert").size(), 2u);
}

TEST_F(HealthTest, AJobIsPausedAndSaysWhy) {
  Begin(HealthMode::kAct, Diverges(HealthAction::kPause));
  for (int64_t step = 1; step <= 3; ++step) See(step, 9);
  EXPECT_EQ(job().state, JobState::kPausing);
  ASSERT_EQ(stops_.size(), 1u);
  EXPECT_FALSE(stops_[0].kill);
  Checkpoint(4);
  Exit(kExitPaused);
  EXPECT_EQ(job().state, JobState::kPaused);
  EXPECT_EQ(job().reason, reason::kHealthRule);
  EXPECT_THAT(job().message,
              HasSubstr("resumes from the checkpoint at step 4; rule: loss over ln"));
  Do(command::ResumeJob{id_, ""});
  Start();
  for (int64_t step = 5; step <= 7; ++step) See(step, 9);
  EXPECT_EQ(job().state, JobState::kPausing) << "it goes on badly";
}

TEST_F(HealthTest, AJobGoesBackBeforeTheSignalWasBeyondWithOtherValues) {
  HealthRule rule = Diverges(HealthAction::kRollBack);
  rule.set = {{"optim.lr", "0.1"}};
  Begin(HealthMode::kAct, rule);
  See(5, 4);
  Checkpoint(5);
  See(10, 4);
  Checkpoint(10);
  See(12, 9);
  See(13, 9);
  Checkpoint(13);  // of weights that are spoilt already
  See(14, 9);
  ASSERT_EQ(stops_.size(), 1u);
  EXPECT_TRUE(stops_[0].kill);
  Exit(128 + 9);
  Do(command::FilesDeleted{id_, 13});
  Do(command::Tick{});
  ASSERT_TRUE(job().attempt) << job().message;
  EXPECT_EQ(job().attempt->number, 2);
  EXPECT_EQ(job().attempt->restore_step, 10);
  EXPECT_EQ(job().restarts, 0) << "it is no failure";
  EXPECT_FALSE(job().failure);
  EXPECT_THAT(job().overrides, ElementsAre(std::pair("optim.lr", "0.1")));
  EXPECT_THAT(Messages("health_acted"),
              ElementsAre("rule: loss over ln K is 1.125, above 1, for 3 steps; goes back to step "
                          "10 with optim.lr=0.1"));
}

TEST_F(HealthTest, AJobThatIsPausedMeanwhileGoesBackAllTheSame) {
  Begin(HealthMode::kAct, Diverges(HealthAction::kRollBack));
  See(5, 4);
  Checkpoint(5);
  See(6, 9);
  Checkpoint(6);
  See(7, 9);
  See(8, 9);
  Do(command::PauseJob{id_, ""});
  Exit(128 + 9);
  EXPECT_EQ(job().state, JobState::kPaused);
  EXPECT_THAT(job().message, HasSubstr("goes back to step 5"));
  Do(command::FilesDeleted{id_, 6});
  Do(command::ResumeJob{id_, "", 0});
  ASSERT_TRUE(job().attempt) << job().message;
  EXPECT_EQ(job().attempt->restore_step, 5);
}

TEST_F(HealthTest, AJobThatGoesBackTooOftenIsPaused) {
  Begin(HealthMode::kAct, Diverges(HealthAction::kRollBack));
  for (int i = 1; i <= 3; ++i) {
    for (int64_t step = 1; step <= 3; ++step) See(step, 9);
    EXPECT_EQ(job().roll_backs, i);
    Exit(128 + 9);
    ASSERT_TRUE(job().attempt);
    EXPECT_EQ(job().attempt->restore_step, 0);
    Start();
  }
  for (int64_t step = 1; step <= 3; ++step) See(step, 9);
  EXPECT_EQ(job().state, JobState::kPausing);
  EXPECT_THAT(job().message, HasSubstr("it has gone back 3 times already"));
}

TEST_F(HealthTest, APinnedCheckpointIsNotGoneBackOver) {
  Begin(HealthMode::kAct, Diverges(HealthAction::kRollBack));
  See(5, 4);
  Checkpoint(5);
  See(6, 9);
  Checkpoint(6);
  Do(command::PinCheckpoint{absl::StrCat("jobs/", id_, "/checkpoints/6"), "somebody", ""});
  See(7, 9);
  See(8, 9);
  EXPECT_EQ(job().state, JobState::kPausing);
  EXPECT_THAT(job().message, HasSubstr("pinned by somebody"));
}

}  // namespace
}  // namespace seer::coordinator
