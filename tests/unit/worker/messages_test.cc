#include "worker/agent/messages.h"

#include <gtest/gtest.h>

#include <string>

namespace seer::worker {
namespace {

const Assignment kRank{7, "jobs/a", 2, 3};

TEST(MessagesTest, DurationsKeepTheirFractions) {
  google::protobuf::Duration duration;
  duration.set_seconds(1);
  duration.set_nanos(250'000'000);
  EXPECT_EQ(FromProto(duration), absl::Milliseconds(1250));
}

TEST(MessagesTest, AHeartbeatNamesAlsoWhatEndedButIsNotKnown) {
  AssignmentTable table(4);
  table.Take({1, "jobs/a", 1, 0});
  table.Exited(table.Take({1, "jobs/a", 1, 1}).key, {0, "", ""});
  const auto message = HeartbeatOf(table);
  ASSERT_EQ(message.heartbeat().running_size(), 2);
  EXPECT_EQ(message.heartbeat().running(1).attempt_id(), 1);
  EXPECT_EQ(message.heartbeat().running(1).job(), "jobs/a");
  EXPECT_EQ(message.heartbeat().running(1).rank(), 1);
  internal::v1::Hello hello;
  AddRunning(table, hello);
  EXPECT_EQ(hello.running_size(), 2);
}

TEST(MessagesTest, AnExitReport) {
  const auto message = ExitReport(kRank, {12, "POOL_EMPTY", "pool p is empty"});
  EXPECT_EQ(message.rank().attempt_id(), 7);
  EXPECT_EQ(message.rank().job(), "jobs/a");
  EXPECT_EQ(message.rank().rank(), 3);
  EXPECT_EQ(message.rank().state(), internal::v1::RankReport::STATE_EXITED);
  EXPECT_EQ(message.rank().exit_code(), 12);
  EXPECT_EQ(message.rank().reason(), "POOL_EMPTY");
  EXPECT_EQ(message.rank().message(), "pool p is empty");
}

TEST(MessagesTest, AnExitReportCarriesTheSignsOfItsCause) {
  RankExit exit{137, "", ""};
  exit.last_lines = {"first", "second \xff"};
  exit.oom_killed = true;
  exit.device_fault = "Xid 79: GPU has fallen off the bus";
  const auto message = ExitReport(kRank, exit);
  ASSERT_EQ(message.rank().last_lines_size(), 2);
  EXPECT_EQ(message.rank().last_lines(0), "first");
  EXPECT_EQ(message.rank().last_lines(1), "second \xef\xbf\xbd");
  EXPECT_TRUE(message.rank().oom_killed());
  EXPECT_EQ(message.rank().device_fault(), "Xid 79: GPU has fallen off the bus");
  EXPECT_TRUE(message.rank().has_prompted()) << "this agent says it in any case";
  EXPECT_FALSE(message.rank().prompted());
}

// protobuf refuses text that is not UTF-8 at the other end: the stream would break, and again with
// every repetition of the report.
TEST(MessagesTest, AnExitReportCanBeReadWhateverTheTrainerPrintedLast) {
  std::string message(1999, 'x');
  message += "\xc3\xa4 and more";
  for (const std::string& text : {std::string("last line: \xff\xfe\x80"), message}) {
    internal::v1::AgentMessage read;
    ASSERT_TRUE(read.ParseFromString(ExitReport(kRank, {1, "A\xff", text}).SerializeAsString()));
    EXPECT_LE(read.rank().message().size(), 2000u);
    EXPECT_EQ(read.rank().reason(), "A\xef\xbf\xbd");
  }
}

}  // namespace
}  // namespace seer::worker
