// Elastic gangs and spares over real gRPC: what agents are told when one of them is lost and comes
// back, and what the API and the metrics say meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/trainer_exit.h"
#include "common/http/http_client.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using internal::v1::Assign;
using ::testing::HasSubstr;

class ElasticTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::string> Metrics() {
    HttpRequest request;
    request.url = absl::StrCat("http://127.0.0.1:", cluster_.metrics_port(), "/metrics");
    SEER_ASSIGN_OR_RETURN(const HttpResponse response, HttpClient().Do(request));
    return response.body;
  }
  Cluster cluster_;
};

TEST_F(ElasticTest, AGangShrinksGoesOnAndGrowsAtACheckpoint) {
  FakeAgent first(cluster_.port(), {.name = "a", .devices = 1});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  auto second =
      std::make_unique<FakeAgent>(cluster_.port(), FakeAgent::Options{.name = "b", .devices = 1});
  ASSERT_TRUE(cluster_.WaitForWorkers(2));
  v1::JobSpec spec = SmallSpec("elastic", 2);
  spec.mutable_distributed()->set_min_ranks(1);
  ASSERT_OK(cluster_.Create(spec));
  const Assign rank0 = first.NextAssign(), rank1 = second->NextAssign();
  EXPECT_EQ(rank0.world_size(), 2);
  EXPECT_EQ(*cluster_.Progress(rank0, 3), false);
  second->HangUp();
  first.Exited(rank0, kExitCollective);
  const Assign alone = first.NextAssign();
  EXPECT_EQ(alone.world_size(), 1);
  EXPECT_EQ(alone.rank(), 0);
  first.Started(alone);
  EXPECT_EQ(*cluster_.Progress(alone, 4), false);
  EXPECT_EQ(cluster_.Get("elastic")->ranks_size(), 1);
  second = std::make_unique<FakeAgent>(
      cluster_.port(), FakeAgent::Options{.name = "b", .devices = 1, .incarnation = "second"});
  EXPECT_FALSE(first.NextStop().kill());
  const v1::Job growing = *cluster_.Get("elastic");
  EXPECT_EQ(growing.state_reason(), reason::kGangResized);
  EXPECT_EQ(growing.spare_devices(), 1) << "what it grows to is its own already";
  EXPECT_EQ(*cluster_.Progress(alone, 5), true);
  EXPECT_EQ(*cluster_.Checkpoint(alone, 5), true);
  first.Exited(alone, kExitPaused);
  const Assign again = first.NextAssign(), other = second->NextAssign();
  for (const Assign& assign : {again, other}) {
    EXPECT_EQ(assign.world_size(), 2);
    EXPECT_EQ(assign.restore_step(), 5);
  }
  const v1::Job job = *cluster_.Get("elastic");
  EXPECT_EQ(job.attempt(), 3);
  EXPECT_EQ(job.ranks_size(), 2);
  int resized = 0;
  for (const v1::Event& event : cluster_.Events("elastic"))
    resized += event.type() == "gang_resized";
  EXPECT_EQ(resized, 1);
  ASSERT_OK_AND_ASSIGN(const std::string metrics, Metrics());
  EXPECT_THAT(metrics, HasSubstr("seer_gang_wait_seconds_count 2"));
}

TEST_F(ElasticTest, AGangGoesOnOnItsSpareBeforeAJobThatWaits) {
  FakeAgent first(cluster_.port(), {.name = "a", .devices = 1});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  FakeAgent second(cluster_.port(), {.name = "b", .devices = 1});
  ASSERT_TRUE(cluster_.WaitForWorkers(2));
  FakeAgent third(cluster_.port(), {.name = "c", .devices = 1});
  ASSERT_TRUE(cluster_.WaitForWorkers(3));
  v1::JobSpec spec = SmallSpec("spared", 2);
  spec.mutable_distributed()->set_spare_ranks(1);
  ASSERT_OK(cluster_.Create(spec));
  const Assign rank0 = first.NextAssign();
  (void)second.NextAssign();
  EXPECT_EQ(cluster_.Get("spared")->spare_devices(), 1);
  EXPECT_EQ(*cluster_.Progress(rank0, 3), false);
  EXPECT_TRUE(Eventually([&] {
    const auto metrics = Metrics();
    return metrics.ok() && absl::StrContains(*metrics, "seer_queue_devices{queue=\"default\"} 3");
  })) << "spares count";
  ASSERT_OK(cluster_.Create(SmallSpec("waits", 1)));
  EXPECT_EQ(cluster_.Get("waits")->wait().reason(), "devices");
  second.HangUp();
  first.Exited(rank0, kExitCollective);
  const Assign again = first.NextAssign(), spare = third.NextAssign();
  EXPECT_EQ(again.job(), rank0.job());
  EXPECT_EQ(spare.job(), rank0.job()) << "the other job got the spare";
  EXPECT_EQ(spare.world_size(), 2);
  EXPECT_EQ(cluster_.Get("spared")->spare_devices(), 0);
  EXPECT_EQ(cluster_.Get("waits")->state(), v1::JOB_STATE_QUEUED);
}

TEST_F(ElasticTest, ASpecThatCannotBeElasticIsRefusedWithTheRemedy) {
  v1::JobSpec spec = SmallSpec("odd", 4);
  spec.mutable_distributed()->set_min_ranks(3);  // does not divide the batch of 8
  EXPECT_THAT(cluster_.Create(spec), FailsWith(absl::StatusCode::kInvalidArgument,
                                               reason::kOutOfRange, "distributed.minRanks is 3"));
}

}  // namespace
}  // namespace seer::testing
