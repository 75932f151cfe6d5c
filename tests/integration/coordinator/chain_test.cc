// Jobs that wait for others, over real gRPC and SQLite.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/rpc/status_grpc.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using internal::v1::Assign;
using ::testing::EndsWith;
using ::testing::HasSubstr;

v1::JobSpec After(const std::string& name, const std::vector<std::string>& jobs) {
  v1::JobSpec spec = SmallSpec(name, 1);
  for (const std::string& job : jobs) spec.mutable_chain()->add_after()->set_job(job);
  return spec;
}

v1::JobSpec NewestOf(const std::string& job) {
  v1::JobSpec spec;
  spec.set_kind(v1::JOB_KIND_EVAL_KNN);
  spec.mutable_metadata()->set_name("judge");
  spec.mutable_eval()->set_checkpoint("jobs/" + job);
  spec.mutable_eval()->set_train_pool("digits");
  spec.mutable_eval()->set_test_pool("digits");
  spec.mutable_chain()->add_after()->set_job(job);
  return spec;
}

TEST(Chain, AnEvaluationWaitsAndTakesTheNewestCheckpoint) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {.name = "w1", .devices = 2});
  ASSERT_TRUE(cluster.WaitForWorkers(1));
  v1::JobSpec train = SmallSpec("train", 1);
  train.mutable_model()->mutable_head()->set_output_dim(77);
  ASSERT_OK_AND_ASSIGN(const v1::Job trained, cluster.Create(train));
  const Assign rank = agent.NextAssign();
  ASSERT_OK_AND_ASSIGN(const v1::Job judge, cluster.Create(NewestOf("train")));
  EXPECT_EQ(judge.spec().chain().after(0).job(), trained.name()) << "names become ids";
  EXPECT_EQ(judge.spec().eval().checkpoint(), trained.name());
  EXPECT_EQ(judge.spec().model().head().output_dim(), 77) << "it is of that job's network";
  EXPECT_EQ(judge.wait().reason(), "after");
  EXPECT_THAT(judge.state_message(), HasSubstr("waits for job " + trained.name().substr(5)));
  cluster.Restart();
  EXPECT_EQ(cluster.Get("judge")->wait().reason(), "after") << "it was not stored";

  FakeAgent back(cluster.port(),
                 {.name = "w1", .devices = 2, .running = {[&] {
                                                internal::v1::RunningRank running;
                                                running.set_attempt_id(rank.attempt_id());
                                                running.set_job(rank.job());
                                                return running;
                                              }()}});
  EXPECT_EQ(*cluster.Checkpoint(rank, 5), true);
  EXPECT_EQ(*cluster.Checkpoint(rank, 9), true);
  back.Exited(rank, 0);
  const Assign evaluation = back.NextAssign();
  EXPECT_EQ(evaluation.job(), judge.name());
  EXPECT_THAT(evaluation.eval_checkpoint_uri(), EndsWith("/checkpoints/9"));
  EXPECT_EQ(cluster.Get("judge")->spec().eval().checkpoint(), trained.name() + "/checkpoints/9");
}

TEST(Chain, FailsWithTheJobThatItWaitedFor) {
  Cluster cluster;
  ASSERT_OK(cluster.Create(After("first", {})));
  ASSERT_OK(cluster.Create(After("second", {"first"})));
  ASSERT_OK(cluster.Create(After("third", {"second"})));
  ASSERT_OK(cluster.Cancel("first"));
  const v1::Job third = cluster.WaitFor("third", v1::JOB_STATE_FAILED);
  EXPECT_EQ(third.state_reason(), "DEPENDENCY_FAILED");
  EXPECT_THAT(third.state_message(), HasSubstr("'second', which ended as FAILED"));
}

TEST(Chain, RefusesWhatCannotBe) {
  Cluster cluster;
  EXPECT_THAT(cluster.Create(After("lost", {"nobody"})),
              FailsWith(StatusCode::kNotFound, reason::kJobNotFound, "nobody"));
  ASSERT_OK(cluster.Create(After("a", {})));
  EXPECT_THAT(cluster.Create(After("twice", {"a", "jobs/a"})),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "a second time"));
  EXPECT_THAT(cluster.Create(After("none", {""})),
              FailsWith(StatusCode::kInvalidArgument, reason::kMissingField, "chain.after[0].job"));
  v1::JobSpec judge = NewestOf("a");
  judge.clear_chain();
  EXPECT_THAT(cluster.Create(judge),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "a job of chain.after"));
  ASSERT_OK_AND_ASSIGN(const v1::Job b, cluster.Create(After("b", {"a"})));
  grpc::ClientContext context;
  v1::UpdateJobRequest update;
  update.mutable_job()->set_name("a");
  update.mutable_job()->mutable_spec()->mutable_chain()->add_after()->set_job("b");
  update.mutable_update_mask()->add_paths("chain");
  v1::Job out;
  EXPECT_THAT(FromGrpc(cluster.jobs->UpdateJob(&context, update, &out)),
              FailsWith(StatusCode::kFailedPrecondition, reason::kCircularChain,
                        b.name().substr(5) + " -> "));
}

TEST(Chain, APlanSaysWhatAJobWouldWaitFor) {
  Cluster cluster;
  ASSERT_OK(cluster.Create(After("a", {})));
  grpc::ClientContext context;
  v1::PlanJobRequest request;
  *request.mutable_spec() = After("b", {"a"});
  v1::PlanJobResponse plan;
  ASSERT_OK(FromGrpc(cluster.jobs->PlanJob(&context, request, &plan)));
  EXPECT_EQ(plan.wait().reason(), "after");
  EXPECT_FALSE(plan.wait().has_estimated_start_time());
}

}  // namespace
}  // namespace seer::testing
