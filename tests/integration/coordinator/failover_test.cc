// Several coordinators on one PostgreSQL database, with agents and trainers played by the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/postgres_server.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using internal::v1::Assign;

// What the coordinator at this port says to a call without retries.
absl::Status Ask(int port) {
  const auto stub = v1::Workers::NewStub(MakeChannel({absl::StrCat("127.0.0.1:", port)}));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::ListWorkersResponse response;
  return FromGrpc(stub->ListWorkers(&context, {}, &response));
}

class FailoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = PostgresServer::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    cluster_.emplace(2, server().NewDatabase());
  }
  static PostgresServer& server() { return PostgresServer::Shared(); }
  // Waits until one leads.
  size_t Leader() {
    size_t leader = 0;
    EXPECT_TRUE(Eventually([&] {
      for (leader = 0; leader < 2; ++leader)
        if (alive_[leader] && Ask(cluster_->port(leader)).ok()) return true;
      return false;
    })) << "nobody leads";
    return leader;
  }
  void Stop(size_t number) {
    alive_[number] = false;
    cluster_->Stop(number);
  }
  // While a coordinator takes over.
  template <typename Call>
  auto Patiently(Call call) -> decltype(call()) {
    auto result = call();
    Eventually([&] {
      if (result.ok() || result.status().code() != StatusCode::kUnavailable) return true;
      result = call();
      return false;
    });
    return result;
  }

  std::optional<Cluster> cluster_;
  bool alive_[2] = {true, true};
};

TEST_F(FailoverTest, TheOneThatStandsByRefusesAndNamesTheLeader) {
  const size_t leader = Leader();
  const std::string address = absl::StrCat("127.0.0.1:", cluster_->port(leader));
  absl::Status refused;
  ASSERT_TRUE(Eventually([&] {  // its first word may come before the leader's first
    refused = Ask(cluster_->port(1 - leader));
    const auto detail = GetErrorDetail(refused);
    return detail && detail->metadata.contains("leader");
  }));
  EXPECT_THAT(refused, FailsWith(StatusCode::kUnavailable, reason::kNotLeader, address + " leads"));
  EXPECT_EQ(GetErrorDetail(refused)->metadata.at("leader"), address);
  EXPECT_THAT(GetErrorDetail(refused)->hint, ::testing::HasSubstr("--coordinator"));
  FakeAgent agent(cluster_->port(1 - leader), {});
  EXPECT_TRUE(agent.closed()) << "an agent, too, is sent away";
}

// By health: round robin alone would send every second call to the one that stands by.
TEST_F(FailoverTest, AChannelToAllOfThemCallsTheLeaderOnly) {
  Leader();
  ASSERT_OK(Patiently([&] { return cluster_->Create(SmallSpec("a")); }));
  for (int i = 0; i < 20; ++i) EXPECT_OK(cluster_->Get("a"));
}

TEST_F(FailoverTest, ALeaderThatStopsIsReplacedAndTheGangTrainsOn) {
  const size_t leader = Leader();
  auto agent = std::make_unique<FakeAgent>(cluster_->port(leader), FakeAgent::Options{});
  ASSERT_OK_AND_ASSIGN(const v1::Job created, Patiently([&] {
                         return cluster_->Create(SmallSpec("steady", 1), "the-request");
                       }));
  const Assign rank = agent->NextAssign();
  agent->Started(rank);
  EXPECT_OK(cluster_->Progress(rank, 10));
  EXPECT_EQ(*cluster_->Checkpoint(rank, 10), true);
  const size_t events = cluster_->Events("steady").size();
  agent->HangUp();
  Stop(leader);

  const auto kept = Patiently([&] { return cluster_->Get("steady"); });
  ASSERT_OK(kept);
  EXPECT_EQ(kept->name(), created.name());
  EXPECT_EQ(kept->last_checkpoint_step(), 10);
  EXPECT_EQ(cluster_->Events("steady").size(), events);
  EXPECT_EQ((*cluster_->Create(SmallSpec("steady", 1), "the-request")).name(), created.name());
  EXPECT_EQ(*cluster_->Progress(rank, 15), false);
  internal::v1::RunningRank running;
  running.set_attempt_id(rank.attempt_id());
  running.set_job(rank.job());
  running.set_rank(rank.rank());
  FakeAgent back(cluster_->port(1 - leader), {"w1", 2, "first", {running}});
  EXPECT_EQ(*cluster_->Checkpoint(rank, 20), true);
  back.Exited(rank, 0);
  EXPECT_EQ(cluster_->WaitFor("steady", v1::JOB_STATE_SUCCEEDED).attempt(), 1);
}

TEST_F(FailoverTest, AWatcherIsToldThatItsCoordinatorNoLongerLeads) {
  const size_t leader = Leader();
  ASSERT_OK(Patiently([&] { return cluster_->Create(SmallSpec("watched")); }));
  const auto stub =
      v1::Jobs::NewStub(MakeChannel({absl::StrCat("127.0.0.1:", cluster_->port(leader))}));
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name("watched");
  const auto reader = stub->WatchJob(&context, request);
  v1::Job job;
  ASSERT_TRUE(reader->Read(&job));
  server().Kill();
  while (reader->Read(&job)) {
  }
  EXPECT_THAT(FromGrpc(reader->Finish()),
              FailsWith(StatusCode::kUnavailable, reason::kNotLeader, ""));
  server().Start();
}

TEST_F(FailoverTest, WhileTheDatabaseIsAwayNobodyLeadsAndThenAllGoesOn) {
  const size_t leader = Leader();
  FakeAgent agent(cluster_->port(leader), {});
  ASSERT_OK(Patiently([&] { return cluster_->Create(SmallSpec("patient", 1)); }));
  const Assign rank = agent.NextAssign();
  EXPECT_OK(cluster_->Progress(rank, 5));
  server().Kill();
  EXPECT_TRUE(agent.closed()) << "so that it asks the others";
  for (size_t i = 0; i < 2; ++i) {
    absl::Status refused;
    EXPECT_TRUE(Eventually([&] {
      refused = Ask(cluster_->port(i));
      return std::string(refused.message()).find("its database:") != std::string::npos;
    })) << refused;
    EXPECT_TRUE(HasReason(refused, reason::kNotLeader)) << refused;
  }
  server().Start();
  const auto kept = Patiently([&] { return cluster_->Get("patient"); });
  ASSERT_OK(kept);
  EXPECT_EQ(kept->attempt(), 1);
  EXPECT_OK(cluster_->Progress(rank, 6));
}

TEST_F(FailoverTest, ADatabaseThatCannotBeReachedIsNamedAtTheStart) {
  coordinator::ServerConfig config = cluster_->Config();
  config.database = "postgresql://127.0.0.1:1/seer";
  EXPECT_THAT(coordinator::CoordinatorServer::Start(config),
              FailsWith(StatusCode::kUnavailable, reason::kDatabaseUnreachable, "127.0.0.1:1"));
  config = cluster_->Config();
  config.leader_lease = absl::Milliseconds(10);
  EXPECT_THAT(coordinator::CoordinatorServer::Start(config),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "leader's lease"));
}

TEST_F(FailoverTest, ALeaderThatCannotReadTheDatabaseLetsAnotherTry) {
  const size_t leader = Leader();
  ASSERT_OK(Patiently([&] { return cluster_->Create(SmallSpec("broken")); }));
  const std::string url = cluster_->Config().database;
  server().Sql(url, "UPDATE jobs SET record = '{' || record");
  Stop(leader);
  absl::Status refused;
  EXPECT_TRUE(Eventually([&] {
    refused = Ask(cluster_->port(1 - leader));
    return std::string(refused.message()).find("cannot be read") != std::string::npos;
  })) << refused;
  EXPECT_TRUE(HasReason(refused, reason::kNotLeader)) << refused;
  server().Sql(url, "UPDATE jobs SET record = substr(record, 2)");
  EXPECT_OK(Patiently([&] { return cluster_->Get("broken"); }));
}

}  // namespace
}  // namespace seer::testing
