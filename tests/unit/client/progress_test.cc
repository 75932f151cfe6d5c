#include "client/progress.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace seer::client {
namespace {

v1::Job Running() {
  v1::Job job;
  job.set_name("jobs/job_ab12cd34");
  job.set_state(v1::JOB_STATE_RUNNING);
  auto& p = *job.mutable_progress();
  p.set_step(50);
  p.set_total_steps(200);
  p.set_loss(2.25);
  p.set_images_per_second(123.4);
  p.set_data_stall_ratio(0.051);
  p.set_step_seconds(2);
  return job;
}

TEST(ProgressLine, HasStepLossSpeedStallAndEta) {
  const std::string line = ProgressLine(Running(), 200, false);
  EXPECT_TRUE(absl::StartsWith(line, "job_ab12cd34 RUNNING  [##########....")) << line;
  EXPECT_TRUE(
      absl::EndsWith(line, "]  step 50/200  loss 2.2500  123 images/s  stall 5.1%  eta 5m00s"))
      << line;
}

TEST(ProgressLine, FillsTheBarWithTheShareOfSteps) {
  v1::Job job = Running();
  const auto filled = [&](int64_t step) {
    job.mutable_progress()->set_step(step);
    const std::string line = ProgressLine(job, 200, false);
    return std::count(line.begin(), line.end(), '#');
  };
  EXPECT_EQ(filled(1), 0);
  EXPECT_EQ(filled(100), 20);
  EXPECT_EQ(filled(200), 40);
  EXPECT_EQ(filled(300), 40);  // a report beyond the end does not overflow
}

TEST(ProgressLine, NeverIsWiderThanTheTerminal) {
  for (const int width : {0, 1, 10, 40, 79, 90, 100, 120, 500}) {
    const std::string line = ProgressLine(Running(), width, false);
    EXPECT_LE(line.size(), static_cast<size_t>(width)) << line;
    // Escape sequences come on top, and leave the text as it is.
    const std::string colored = ProgressLine(Running(), width, true);
    EXPECT_EQ(absl::StrReplaceAll(colored, {{"\033[36m", ""}, {"\033[0m", ""}}), line);
  }
}

TEST(ProgressLine, ANarrowTerminalDropsTheBarAndKeepsTheNumbers) {
  const std::string line = ProgressLine(Running(), 90, false);
  EXPECT_FALSE(absl::StrContains(line, "[")) << line;
  EXPECT_TRUE(absl::StrContains(line, "step 50/200")) << line;
}

TEST(ProgressLine, ColoursOnlyTheState) {
  v1::Job job = Running();
  EXPECT_TRUE(absl::StrContains(ProgressLine(job, 100, true), " \033[36mRUNNING\033[0m "));
  job.set_state(v1::JOB_STATE_FAILED);
  EXPECT_TRUE(absl::StrContains(ProgressLine(job, 100, true), "\033[31mFAILED\033[0m"));
  job.set_state(v1::JOB_STATE_SUCCEEDED);
  EXPECT_TRUE(absl::StrContains(ProgressLine(job, 100, true), "\033[32mSUCCEEDED\033[0m"));
  EXPECT_EQ(ProgressLine(job, 100, false).find('\033'), std::string::npos);
}

TEST(ProgressLine, BeforeTheFirstStepItSaysWhatTheJobWaitsFor) {
  v1::Job job;
  job.set_name("jobs/job_ab12cd34");
  job.set_state(v1::JOB_STATE_QUEUED);
  job.set_state_message("waits for 2 devices");
  EXPECT_EQ(ProgressLine(job, 100, false), "job_ab12cd34 QUEUED  waits for 2 devices");
}

TEST(ProgressView, OffATerminalAChangeOfStateIsALineAndProgressIsNot) {
  ::testing::internal::CaptureStderr();
  {
    ProgressView view;
    v1::Job job = Running();
    view.Show(job);
    job.mutable_progress()->set_step(51);
    view.Show(job);  // within ten seconds: nothing
    job.set_state(v1::JOB_STATE_SUCCEEDED);
    view.Show(job);
    view.Message("a note");
    view.Done();
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_TRUE(absl::StrContains(text, "step 50/200"));
  EXPECT_TRUE(absl::EndsWith(text, "a note\n"));
}

}  // namespace
}  // namespace seer::client
