// When refused steps end an attempt, and how their images are named.
#include "worker/trainer/refused_steps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/base/error.h"
#include "tests/support/status_matchers.h"

namespace seer::worker {
namespace {

v1::FailureSpec Policy(v1::RefusedStepPolicy policy, int limit) {
  v1::FailureSpec failure;
  failure.set_refused_step_policy(policy);
  failure.set_refused_step_limit(limit);
  return failure;
}

// What Observe says of each step; true: the step was refused.
std::vector<absl::StatusCode> Codes(const v1::FailureSpec& failure,
                                    const std::vector<bool>& refused) {
  RefusedSteps steps(failure);
  std::vector<absl::StatusCode> codes;
  for (const bool skipped : refused) {
    engine::StepReport report;
    report.step = static_cast<int64_t>(codes.size());
    report.skipped = skipped;
    codes.push_back(steps.Observe(report).code());
  }
  return codes;
}

constexpr auto kOk = absl::StatusCode::kOk;

TEST(RefusedStepsTest, ThePolicyDecidesAtTheLimitInARow) {
  const std::vector<bool> steps = {true, true, false, true, true, true};
  EXPECT_EQ(Codes(Policy(v1::REFUSED_STEP_POLICY_FAIL, 3), steps),
            (std::vector<absl::StatusCode>{kOk, kOk, kOk, kOk, kOk,
                                           absl::StatusCode::kFailedPrecondition}));
  EXPECT_EQ(Codes(Policy(v1::REFUSED_STEP_POLICY_ROLL_BACK, 3), steps),
            (std::vector<absl::StatusCode>{kOk, kOk, kOk, kOk, kOk, absl::StatusCode::kAborted}));
  EXPECT_EQ(Codes(Policy(v1::REFUSED_STEP_POLICY_FAIL, 1), {false, true}).back(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(RefusedStepsTest, SkipOnlyCounts) {
  const std::vector<bool> steps(100, true);
  for (const auto policy : {v1::REFUSED_STEP_POLICY_SKIP,
                            v1::REFUSED_STEP_POLICY_UNSPECIFIED}) {  // a spec of an older version
    const auto codes = Codes(Policy(policy, 3), steps);
    EXPECT_EQ(std::count(codes.begin(), codes.end(), kOk), 100);
  }
}

TEST(RefusedStepsTest, AnOverflowOfScaledGradientsIsNotOneOfTheRowAndDoesNotEndIt) {
  RefusedSteps steps(Policy(v1::REFUSED_STEP_POLICY_FAIL, 2));
  engine::StepReport refused, overflow;
  refused.skipped = overflow.skipped = overflow.overflow = true;
  for (int i = 0; i < 10; ++i) EXPECT_OK(steps.Observe(overflow));
  EXPECT_EQ(steps.in_a_row(), 0);
  EXPECT_OK(steps.Observe(refused));
  EXPECT_OK(steps.Observe(overflow));
  EXPECT_EQ(steps.Observe(refused).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(RefusedStepsTest, WhatIsToBeRolledBackIsNotKept) {
  for (const auto policy : {v1::REFUSED_STEP_POLICY_SKIP, v1::REFUSED_STEP_POLICY_ROLL_BACK,
                            v1::REFUSED_STEP_POLICY_FAIL}) {
    RefusedSteps steps(Policy(policy, 5));
    engine::StepReport report;
    EXPECT_OK(steps.Observe(report));
    EXPECT_TRUE(steps.keeps_state());
    report.skipped = true;
    EXPECT_OK(steps.Observe(report));
    EXPECT_EQ(steps.keeps_state(), policy != v1::REFUSED_STEP_POLICY_ROLL_BACK);
    report.skipped = false;
    EXPECT_OK(steps.Observe(report));
    EXPECT_TRUE(steps.keeps_state());
  }
}

TEST(RefusedStepsTest, TheErrorNamesTheStepAndTheReason) {
  RefusedSteps steps(Policy(v1::REFUSED_STEP_POLICY_FAIL, 1));
  engine::StepReport report;
  report.step = 41;
  report.skipped = true;
  const absl::Status status = steps.Observe(report);
  EXPECT_TRUE(absl::StrContains(status.message(), "step 41")) << status;
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, reason::kNonFinite);
}

TEST(RefusedStepsTest, ImagesAreNamedUpToALimit) {
  engine::Batch batch;
  EXPECT_EQ(NameImages(batch), "");
  batch.image_ids.resize(2);
  batch.image_ids[1].fill(0xab);
  std::string second;
  for (int i = 0; i < 32; ++i) second += "ab";
  EXPECT_EQ(NameImages(batch), std::string(64, '0') + "," + second);
  batch.image_ids.resize(64);
  EXPECT_FALSE(absl::StrContains(NameImages(batch), "more"));
  batch.image_ids.resize(67);
  const std::string many = NameImages(batch);
  EXPECT_TRUE(absl::EndsWith(many, " and 3 more"));
  EXPECT_EQ(std::count(many.begin(), many.end(), ','), 63);
}

}  // namespace
}  // namespace seer::worker
