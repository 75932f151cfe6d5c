// The table of assignments alone: no process, no stream, no clock.
#include "worker/agent/assignment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "worker/agent/devices.h"

namespace seer::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Verdict = AssignmentTable::Verdict;

Assignment Of(int64_t attempt_id, int rank, const std::string& job = "jobs/a") {
  return {attempt_id, job, /*attempt=*/1, rank};
}

TEST(AssignmentTableTest, EachRankStartsOnce) {
  AssignmentTable table(4);
  const auto first = table.Take(Of(1, 0)), second = table.Take(Of(1, 1));
  EXPECT_EQ(first.verdict, Verdict::kStart);
  EXPECT_EQ(second.verdict, Verdict::kStart);
  EXPECT_NE(first.key, second.key);
  EXPECT_EQ(table.Take(Of(1, 0)).verdict, Verdict::kKnown);
  EXPECT_THAT(table.Running(), ElementsAre(first.key, second.key));
}

TEST(AssignmentTableTest, AnAssignmentIsNotStartedAgainWhileItsEndIsUnknown) {
  AssignmentTable table(4);
  const auto taken = table.Take(Of(1, 0));
  table.Exited(taken.key, {1, "", ""});
  EXPECT_EQ(table.Take(Of(1, 0)).verdict, Verdict::kKnown);
}

TEST(AssignmentTableTest, AnOlderAttemptOfTheSameJobIsStale) {
  AssignmentTable table(4);
  EXPECT_EQ(table.Take(Of(5, 0)).verdict, Verdict::kStart);
  EXPECT_EQ(table.Take(Of(4, 0)).verdict, Verdict::kStale);
  EXPECT_EQ(table.Take(Of(4, 0, "jobs/b")).verdict, Verdict::kStart) << "another job's";
  EXPECT_EQ(table.Take(Of(5, 1)).verdict, Verdict::kStart) << "the same attempt's other rank";
  EXPECT_EQ(table.Take(Of(6, 0)).verdict, Verdict::kStart);
  EXPECT_EQ(table.Take(Of(5, 2)).verdict, Verdict::kStale);
  EXPECT_EQ(table.entries().size(), 4u) << "what was refused is not there";
}

TEST(AssignmentTableTest, AnAttemptStaysStaleAfterTheNewerOneWasForgotten) {
  AssignmentTable table(4);
  const auto taken = table.Take(Of(5, 0));
  table.Exited(taken.key, {0, "", ""});
  table.StreamOpened();
  table.ExitSent(taken.key);
  table.HeartbeatSent();
  ASSERT_TRUE(table.HeartbeatAcknowledged(std::nullopt));
  ASSERT_THAT(table.entries(), IsEmpty());
  EXPECT_EQ(table.Take(Of(4, 0)).verdict, Verdict::kStale);
}

TEST(AssignmentTableTest, RemembersABoundedNumberOfJobs) {
  AssignmentTable table(4);
  table.StreamOpened();
  const int64_t jobs = AssignmentTable::kMaxRememberedJobs + 1;
  for (int64_t i = 1; i <= jobs; ++i) {
    const auto taken = table.Take(Of(10 * i, 0, absl::StrCat("jobs/", i)));
    table.Exited(taken.key, {0, "", ""});
    table.ExitSent(taken.key);
    table.HeartbeatSent();
    table.HeartbeatAcknowledged(std::nullopt);
  }
  EXPECT_EQ(table.Take(Of(9, 0, "jobs/1")).verdict, Verdict::kStart) << "the oldest is forgotten";
  EXPECT_EQ(table.Take(Of(10 * jobs - 1, 0, absl::StrCat("jobs/", jobs))).verdict, Verdict::kStale);
}

TEST(AssignmentTableTest, RanksOfAnAttemptAreThoseThatRun) {
  AssignmentTable table(4);
  const int64_t a = table.Take(Of(1, 0)).key, b = table.Take(Of(1, 1)).key;
  const int64_t other = table.Take(Of(2, 0, "jobs/b")).key;
  table.Exited(a, {0, "", ""});
  EXPECT_THAT(table.RunningOf(1), ElementsAre(b));
  EXPECT_THAT(table.RunningOf(2), ElementsAre(other));
  EXPECT_THAT(table.RunningOf(3), IsEmpty());
}

TEST(AssignmentTableTest, TheFirstEndOfARankStands) {
  AssignmentTable table(4);
  const int64_t key = table.Take(Of(1, 0)).key;
  table.Exited(key, {10, "A", "a"});
  table.Exited(key, {137, "B", "b"});
  table.Exited(key + 1, {1, "", ""});
  EXPECT_EQ(table.Find(key)->exit->exit_code, 10);
  EXPECT_EQ(table.Find(key + 1), nullptr);
}

// One rank that has ended, on an open stream.
class ReportTest : public ::testing::Test {
 protected:
  ReportTest() {
    key_ = table_.Take(Of(1, 0)).key;
    table_.StreamOpened();
    table_.Exited(key_, {0, "", ""});
  }
  bool Gone() const { return table_.Find(key_) == nullptr; }
  AssignmentTable table_{4};
  int64_t key_ = 0;
};

TEST_F(ReportTest, AnExitIsForgottenWhenALaterHeartbeatIsAcknowledged) {
  EXPECT_THAT(table_.UnsentExits(), ElementsAre(key_));
  table_.ExitSent(key_);
  EXPECT_THAT(table_.UnsentExits(), IsEmpty());
  table_.HeartbeatSent();
  EXPECT_FALSE(Gone());
  EXPECT_TRUE(table_.HeartbeatAcknowledged(std::nullopt));
  EXPECT_TRUE(Gone());
}

// The acknowledgement is at once, the report may still wait for the database.
TEST_F(ReportTest, AnExitIsKeptUntilTheCoordinatorHasItOnDisk) {
  table_.ExitSent(key_);
  const int64_t second = table_.Take(Of(2, 0, "jobs/b")).key;
  table_.Exited(second, {0, "", ""});
  table_.ExitSent(second);
  for (int i = 0; i < 3; ++i) table_.HeartbeatSent();
  EXPECT_FALSE(table_.HeartbeatAcknowledged(0));
  EXPECT_FALSE(Gone());
  EXPECT_TRUE(table_.HeartbeatAcknowledged(1));
  EXPECT_TRUE(Gone());
  EXPECT_NE(table_.Find(second), nullptr);
  EXPECT_TRUE(table_.HeartbeatAcknowledged(2));
  EXPECT_EQ(table_.Find(second), nullptr);
}

TEST_F(ReportTest, NumbersOfExitsStartAnewWithTheStream) {
  table_.ExitSent(key_);
  table_.StreamClosed();
  table_.StreamOpened();
  table_.HeartbeatSent();
  EXPECT_FALSE(table_.HeartbeatAcknowledged(1)) << "it was not sent on this one";
  table_.ExitSent(key_);
  EXPECT_TRUE(table_.HeartbeatAcknowledged(1));
}

TEST_F(ReportTest, TheAcknowledgementOfAnEarlierHeartbeatDoesNotCount) {
  table_.HeartbeatSent();
  table_.ExitSent(key_);
  EXPECT_FALSE(table_.HeartbeatAcknowledged(std::nullopt));
  EXPECT_FALSE(Gone());
  table_.HeartbeatSent();
  EXPECT_TRUE(table_.HeartbeatAcknowledged(std::nullopt));
}

TEST_F(ReportTest, AnExitThatWasNotSentIsKept) {
  table_.HeartbeatSent();
  EXPECT_FALSE(table_.HeartbeatAcknowledged(std::nullopt));
  EXPECT_FALSE(Gone());
}

TEST_F(ReportTest, WhatWasSentOnABrokenStreamIsSentAgain) {
  table_.ExitSent(key_);
  table_.HeartbeatSent();
  table_.StreamClosed();
  EXPECT_THAT(table_.UnsentExits(), ElementsAre(key_));
  table_.StreamOpened();
  EXPECT_THAT(table_.UnsentExits(), ElementsAre(key_));
  table_.HeartbeatSent();
  EXPECT_FALSE(table_.HeartbeatAcknowledged(std::nullopt)) << "counts start anew with the stream";
  EXPECT_FALSE(Gone());
}

TEST_F(ReportTest, ARunningRankIsNeverForgotten) {
  const int64_t running = table_.Take(Of(1, 1)).key;
  table_.ExitSent(running);  // there is no exit to send
  for (int i = 0; i < 3; ++i) {
    table_.HeartbeatSent();
    table_.HeartbeatAcknowledged(std::nullopt);
  }
  EXPECT_NE(table_.Find(running), nullptr);
}

TEST(AssignmentTableTest, ARunningRanksDeviceIsNobodyElses) {
  AssignmentTable table(4);
  const auto first = table.Take(Of(1, 0)), second = table.Take(Of(1, 1));
  const auto device = [&](const AssignmentTable::Taken& taken) {
    return table.Find(taken.key)->device;
  };
  EXPECT_EQ(device(first), 0);
  EXPECT_EQ(device(second), 1);
  table.Exited(first.key, RankExit{0, "", ""});
  EXPECT_EQ(device(table.Take(Of(2, 0, "jobs/b"))), 0) << "free again, though its end is not known";
  EXPECT_EQ(device(table.Take(Of(2, 1, "jobs/b"))), 2);
}

// The coordinator gives work to a machine whose old ranks were told to end and have not yet.
TEST(AssignmentTableTest, ARankWaitsUntilOneOfTheMachinesDevicesIsFree) {
  AssignmentTable table(2);
  const int64_t a = table.Take(Of(1, 0)).key, b = table.Take(Of(1, 1)).key;
  const auto first = table.Take(Of(2, 0)), second = table.Take(Of(2, 1));
  EXPECT_EQ(first.verdict, Verdict::kWait);
  EXPECT_EQ(second.verdict, Verdict::kWait);
  EXPECT_EQ(table.Take(Of(2, 0)).verdict, Verdict::kKnown);
  EXPECT_EQ(table.GiveDevice(), std::nullopt);
  EXPECT_THAT(table.RunningOf(2), ElementsAre(first.key, second.key));
  table.Exited(b, {137, "", ""});
  EXPECT_EQ(table.GiveDevice(), first.key) << "the one that came first";
  EXPECT_EQ(table.Find(first.key)->device, 1);
  EXPECT_EQ(table.GiveDevice(), std::nullopt);
  table.Exited(a, {137, "", ""});
  table.Exited(second.key, {137, "", "told to end before it began"});
  EXPECT_EQ(table.GiveDevice(), std::nullopt) << "nobody waits";
}

TEST(DevicesTest, ARankIsToldItsGpu) {
  AgentConfig config;
  EXPECT_EQ(DeviceName(config, 3), "cpu");
  EXPECT_EQ(DescribeMachine(config, "i").device_kind(), "cpu");
  config.device_kind = "cuda";
  EXPECT_EQ(DeviceName(config, 3), "cuda:3");
  EXPECT_EQ(DescribeMachine(config, "i").device_kind(), "cuda");
}

}  // namespace
}  // namespace seer::worker
