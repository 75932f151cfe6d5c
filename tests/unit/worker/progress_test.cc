#include "worker/trainer/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/base/error.h"

namespace seer::worker {
namespace {

using ::testing::ElementsAre;

constexpr absl::Duration kDeadline = absl::Seconds(30);

internal::v1::ReportProgressRequest Step(int64_t step) {
  internal::v1::ReportProgressRequest report;
  report.set_step(step);
  return report;
}

// A coordinator that answers when the test says so, in turn: `answers`, then OK.
class ProgressTest : public ::testing::Test {
 protected:
  std::unique_ptr<ProgressReporter> Reporter(absl::Duration period = absl::ZeroDuration()) {
    return std::make_unique<ProgressReporter>(
        [this](const internal::v1::ReportProgressRequest& report) -> absl::StatusOr<bool> {
          absl::MutexLock lock(&mu_);
          steps_.push_back(report.step());
          mu_.Await(absl::Condition(&open_));
          if (answers_.empty()) return false;
          auto answer = answers_.front();
          answers_.pop_front();
          return answer;
        },
        period);
  }
  void Answer(absl::StatusOr<bool> answer) {
    absl::MutexLock lock(&mu_);
    answers_.push_back(std::move(answer));
  }
  void Open(bool open) {
    absl::MutexLock lock(&mu_);
    open_ = open;
  }
  // Waits for so many calls.
  std::vector<int64_t> Steps(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto there = [this, count]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return steps_.size() >= count; };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&there), kDeadline));
    return steps_;
  }
  absl::Mutex mu_;
  bool open_ ABSL_GUARDED_BY(mu_) = true;
  std::deque<absl::StatusOr<bool>> answers_ ABSL_GUARDED_BY(mu_);
  std::vector<int64_t> steps_ ABSL_GUARDED_BY(mu_);
};

TEST_F(ProgressTest, ReportsThatComeWhileOneIsSentAreOne) {
  Open(false);
  auto reporter = Reporter();
  reporter->Update(Step(1));
  Steps(1);
  for (int step = 2; step <= 9; ++step) reporter->Update(Step(step));
  Open(true);
  EXPECT_THAT(Steps(2), ElementsAre(1, 9));
  reporter.reset();
  EXPECT_THAT(Steps(2), ElementsAre(1, 9));
}

TEST_F(ProgressTest, TheNewestIsSentAtTheEndWithoutWaiting) {
  auto reporter = Reporter(absl::Hours(1));
  reporter->Update(Step(1));
  Steps(1);
  reporter->Update(Step(2));
  reporter.reset();
  EXPECT_THAT(Steps(2), ElementsAre(1, 2));
}

TEST_F(ProgressTest, AReporterWithoutReportsSendsNone) {
  Reporter().reset();
  EXPECT_TRUE(Steps(0).empty());
}

TEST_F(ProgressTest, APauseSticks) {
  Answer(true);
  auto reporter = Reporter();
  EXPECT_FALSE(reporter->pause_wanted());
  reporter->Update(Step(1));
  Steps(1);
  reporter->Update(Step(2));
  Steps(2);  // the answer to the first has been read
  EXPECT_TRUE(reporter->pause_wanted());
  reporter->Update(Step(3));
  Steps(3);
  EXPECT_TRUE(reporter->pause_wanted());
  EXPECT_FALSE(reporter->stale());
}

TEST_F(ProgressTest, AStaleAttemptIsToldAndNotSentAgain) {
  Answer(Error(absl::StatusCode::kFailedPrecondition, reason::kStaleAttempt, "stale"));
  auto reporter = Reporter();
  reporter->Update(Step(1));
  Steps(1);
  reporter->Update(Step(2));
  EXPECT_THAT(Steps(2), ElementsAre(1, 2));
  EXPECT_TRUE(reporter->stale());
  EXPECT_FALSE(reporter->pause_wanted());
}

TEST_F(ProgressTest, AReportThatFailedIsSentAgainUntilItArrives) {
  Answer(absl::UnavailableError("away"));
  Answer(absl::DeadlineExceededError("away"));
  auto reporter = Reporter();
  reporter->Update(Step(1));
  EXPECT_THAT(Steps(3), ElementsAre(1, 1, 1));
  reporter->Update(Step(2));
  EXPECT_THAT(Steps(4), ElementsAre(1, 1, 1, 2));
  EXPECT_FALSE(reporter->stale());
}

TEST_F(ProgressTest, ANewerReportReplacesOneThatFailed) {
  Open(false);
  Answer(absl::UnavailableError("away"));
  auto reporter = Reporter();
  reporter->Update(Step(1));
  Steps(1);
  reporter->Update(Step(2));
  Open(true);
  EXPECT_THAT(Steps(2), ElementsAre(1, 2));
}

TEST_F(ProgressTest, TheEndIsTriedOnceThoughTheCoordinatorIsAway) {
  for (int i = 0; i < 100; ++i) Answer(absl::UnavailableError("away"));
  auto reporter = Reporter(absl::Hours(1));
  reporter->Update(Step(1));
  Steps(1);
  reporter.reset();  // must not hang
  EXPECT_LE(Steps(1).size(), 2u);
}

}  // namespace
}  // namespace seer::worker
