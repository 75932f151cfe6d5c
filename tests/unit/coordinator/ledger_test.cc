#include "coordinator/core/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace seer::coordinator {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::ElementsAre;

double Of(const TimeShares& shares, TimeClass time_class) {
  return shares[static_cast<size_t>(time_class)];
}
double Sum(const TimeShares& shares) { return std::accumulate(shares.begin(), shares.end(), 0.0); }

class LedgerTest : public ::testing::Test {
 protected:
  LedgerTest() { ledger_.Open(now_); }
  void Pass(double seconds) {
    now_.wall += absl::Seconds(seconds);
    now_.steady += absl::Seconds(seconds);
  }
  void Count(TimeClass time_class) { ledger_.Count(time_class, now_, counted_); }
  void Report(const TrainedSoFar& report, int64_t highest_step = 0) {
    ledger_.CountTraining(report, highest_step, now_, counted_);
  }

  Moment now_{absl::FromUnixSeconds(1'000'000), absl::Seconds(50)};
  Ledger ledger_;
  TimeShares counted_{};
};

TEST_F(LedgerTest, EverySecondIsInOneClass) {
  Pass(10);
  Count(TimeClass::kQueue);
  Pass(3);
  ledger_.BeginAttempt(0);
  // 4 s of steps, of which 1 s waited for data, and 0.5 s for a checkpoint; 1.5 s came before.
  Pass(3);
  Report({5, 4, 1, 0.5});
  EXPECT_THAT(ledger_.shares(), ElementsAre(3, 10, 1.5, 1, 0.5, 0, 0, 0, 0));
  Pass(2);
  Count(TimeClass::kHang);
  EXPECT_DOUBLE_EQ(Of(ledger_.shares(), TimeClass::kHang), 2);
  EXPECT_DOUBLE_EQ(Sum(ledger_.shares()), 18);
  EXPECT_EQ(counted_, ledger_.shares());
}

TEST_F(LedgerTest, ALaterReportFillsTheTimeSinceTheOneBefore) {
  ledger_.BeginAttempt(0);
  Pass(1);
  Report({1, 1, 0, 0});
  Pass(2.2);  // it came 0.2 s late
  Report({3, 2.5, 0.5, 0.5});
  EXPECT_THAT(ledger_.shares(),
              ElementsAre(DoubleEq(1 + 2.2 * 1 / 2), 0, 0, DoubleEq(2.2 * 0.5 / 2),
                          DoubleEq(2.2 * 0.5 / 2), 0, 0, 0, 0));
}

TEST_F(LedgerTest, StepsThatHadBeenDoneAreRedone) {
  ledger_.BeginAttempt(20);
  Pass(10);
  Report({30, 10, 0, 0}, /*highest_step=*/25);
  EXPECT_DOUBLE_EQ(Of(ledger_.shares(), TimeClass::kRedo), 5);
  EXPECT_DOUBLE_EQ(Of(ledger_.shares(), TimeClass::kProductive), 5);
  Pass(4);
  Report({34, 14, 0, 0}, /*highest_step=*/30);
  EXPECT_DOUBLE_EQ(Of(ledger_.shares(), TimeClass::kRedo), 5);
  EXPECT_DOUBLE_EQ(Of(ledger_.shares(), TimeClass::kProductive), 9);
}

TEST_F(LedgerTest, AReportThatComesTwiceCountsNothing) {
  ledger_.BeginAttempt(0);
  Pass(1);
  Report({1, 1, 0, 0});
  Pass(5);
  Report({1, 1, 0, 0});
  Report({0, 0.5, 0, 0});
  EXPECT_DOUBLE_EQ(Sum(ledger_.shares()), 1);
  EXPECT_DOUBLE_EQ(ledger_.Pending(now_), 5);
}

TEST_F(LedgerTest, AnotherProcessGoesOnByTheWallClock) {
  Pass(2);
  Count(TimeClass::kQueue);
  Ledger other = Ledger::From(ledger_.record());
  Moment later{now_.wall + absl::Seconds(7), absl::Seconds(1)};  // of another machine's start
  EXPECT_DOUBLE_EQ(other.Pending(later), 7);
  other.Count(TimeClass::kStart, later, counted_);
  EXPECT_DOUBLE_EQ(Sum(other.shares()), 9);
  later.steady += absl::Seconds(1);
  later.wall -= absl::Hours(1);  // the clock is set back
  EXPECT_DOUBLE_EQ(other.Pending(later), 1);
}

TEST_F(LedgerTest, TheClockWasSetBackWhileNobodyCounted) {
  Pass(2);
  Count(TimeClass::kQueue);
  Ledger other = Ledger::From(ledger_.record());
  const Moment later{now_.wall - absl::Hours(1), absl::Seconds(1)};
  EXPECT_EQ(other.Pending(later), 0);
  other.Count(TimeClass::kStart, later, counted_);
  EXPECT_THAT(Sum(other.shares()), DoubleNear(2, 1e-9));
}

}  // namespace
}  // namespace seer::coordinator
