// What a coordinator forgets, and how readers of events and logs go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/core/history.h"
#include "seer/v1/event_log.grpc.pb.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Those after `number`; with how it ended.
std::pair<std::vector<int64_t>, absl::Status> EventsAfter(const Cluster& cluster, int64_t number) {
  const auto stub = v1::Events::NewStub(grpc::CreateChannel(
      absl::StrCat("127.0.0.1:", cluster.port()), grpc::InsecureChannelCredentials()));
  v1::WatchEventsRequest request;
  request.set_until_now(true);
  request.set_after_number(number);
  grpc::ClientContext context;
  const auto reader = stub->WatchEvents(&context, request);
  std::vector<int64_t> numbers;
  for (v1::Event event; reader->Read(&event);) numbers.push_back(event.number());
  return {numbers, FromGrpc(reader->Finish())};
}

TEST(History, AJobThatEndedLongAgoGoesWithAllThatIsItsOwn) {
  Cluster cluster;
  cluster.keep_jobs = absl::Milliseconds(300);
  cluster.Restart();
  FakeAgent agent(cluster.port(), FakeAgent::Options{});
  ASSERT_OK_AND_ASSIGN(const v1::Job old, cluster.Create(SmallSpec("old", 1), "request"));
  const internal::v1::Assign old_rank = agent.NextAssign();
  agent.Log(old_rank, "a line");
  ASSERT_OK(cluster.Progress(old_rank, 3));
  agent.Exited(old_rank, kExitUserError, "INVALID_SPEC", "");
  ASSERT_OK(cluster.Create(SmallSpec("with-checkpoint", 1)));
  const internal::v1::Assign rank = agent.NextAssign();
  ASSERT_OK(cluster.Checkpoint(rank, 5));
  agent.Exited(rank, kExitUserError, "INVALID_SPEC", "");
  ASSERT_TRUE(Eventually([&] { return !cluster.Get("old").ok(); }));
  EXPECT_THAT(cluster.Get(old.name()),
              FailsWith(StatusCode::kNotFound, reason::kJobNotFound, "no job"));
  EXPECT_FALSE(
      std::filesystem::exists(cluster.dir() / absl::StrCat("state/logs/", old.name().substr(5))));
  EXPECT_OK(cluster.Get("with-checkpoint"));
  agent.HangUp();
  cluster.Restart();
  EXPECT_THAT(cluster.Get("old"), FailsWith(StatusCode::kNotFound, reason::kJobNotFound, ""));
  EXPECT_OK(cluster.Get("with-checkpoint"));
  // Its name is free, and so is the id of its request.
  ASSERT_OK_AND_ASSIGN(const v1::Job made, cluster.Create(SmallSpec("old", 1), "request"));
  EXPECT_EQ(made.state(), v1::JOB_STATE_QUEUED);
}

TEST(History, AReaderWhoseEventsAreGoneIsToldSo) {
  Cluster cluster;
  cluster.keep_events = absl::Milliseconds(200);
  cluster.Restart();
  int64_t last = 0;
  for (int i = 0; last < coordinator::kEventBlock; ++i) {
    const std::string name = absl::StrCat("job", i);
    ASSERT_OK(cluster.Create(SmallSpec(name, 1)));
    ASSERT_OK(cluster.Cancel(name));
    last += 2;
  }
  ASSERT_TRUE(Eventually([&] { return !EventsAfter(cluster, 1).second.ok(); }));
  EXPECT_THAT(EventsAfter(cluster, 1).second,
              FailsWith(StatusCode::kOutOfRange, reason::kOutOfRange, "up to number 256"));
  const auto [kept, end] = EventsAfter(cluster, 0);
  EXPECT_OK(end);
  for (const int64_t number : kept) EXPECT_GT(number, 256);
  EXPECT_OK(EventsAfter(cluster, 256).second);
  EXPECT_THAT(cluster.Events("job0"), IsEmpty());
  // Numbers go on over a restart.
  cluster.Restart();
  ASSERT_OK(cluster.Create(SmallSpec("next", 1)));
  EXPECT_THAT(EventsAfter(cluster, last).first, ElementsAre(last + 1));
}

std::vector<v1::LogLine> Read(Cluster& cluster, const v1::ReadLogsRequest& request,
                              absl::Status& end) {
  grpc::ClientContext context;
  const auto reader = cluster.jobs->ReadLogs(&context, request);
  std::vector<v1::LogLine> lines;
  for (v1::LogLine line; reader->Read(&line);) lines.push_back(line);
  end = FromGrpc(reader->Finish());
  return lines;
}

TEST(History, LogsAreReadOnBehindALineAlsoAfterARestart) {
  Cluster cluster;
  auto agent = std::make_unique<FakeAgent>(cluster.port(), FakeAgent::Options{});
  ASSERT_OK(cluster.Create(SmallSpec("chatty", 1)));
  const internal::v1::Assign rank = agent->NextAssign();
  for (int i = 0; i < 4; ++i) agent->Log(rank, absl::StrCat("line ", i));
  agent->Exited(rank, kExitUserError, "INVALID_SPEC", "");
  const std::vector<v1::LogLine> all = cluster.Logs("chatty", /*follow=*/true);
  ASSERT_EQ(all.size(), 4u);
  agent->HangUp();
  cluster.Restart();
  absl::Status end;
  v1::ReadLogsRequest request;
  request.set_name("chatty");
  for (size_t i = 0; i < all.size(); ++i) {
    request.set_after(all[i].position());
    const std::vector<v1::LogLine> rest = Read(cluster, request, end);
    EXPECT_OK(end);
    ASSERT_EQ(rest.size(), all.size() - i - 1);
    for (size_t j = 0; j < rest.size(); ++j) {
      EXPECT_EQ(rest[j].text(), all[i + 1 + j].text());
      EXPECT_EQ(rest[j].position(), all[i + 1 + j].position());
    }
  }
  request.set_after(all[0].position());
  request.set_tail(1);
  EXPECT_EQ(Read(cluster, request, end).at(0).text(), "line 3");
  ASSERT_OK(cluster.Create(SmallSpec("other", 1)));
  for (const auto& [name, after] :
       {std::pair("chatty", std::string("nonsense")), std::pair("other", all[0].position())}) {
    request.set_name(name);
    request.set_after(after);
    Read(cluster, request, end);
    EXPECT_THAT(end, FailsWith(StatusCode::kInvalidArgument, reason::kInvalidPageToken,
                               "not a position in the log"));
  }
}

}  // namespace
}  // namespace seer::testing
