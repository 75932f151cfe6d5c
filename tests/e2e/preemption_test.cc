// Real jobs that give their devices to others, and go on as if nothing had been.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {
namespace {

using nlohmann::json;

class PreemptionTest : public ClusterTest {
 protected:
  static constexpr char kOptions[] =
      "--set optim.steps=60 --set checkpoint.everySteps=25 --set data.recordIds=true "
      "--set failure.maxRestarts=0 ";
  // All four devices for a few steps.
  static std::string Urgent(const std::string& name) {
    return cluster().Submit(
        absl::StrCat("--set optim.steps=4 --set distributed.ranks=4 --set scheduling.priority=5 "
                     "--name ",
                     name));
  }
  static std::vector<json> Events(const std::string& job, const std::string& type) {
    std::vector<json> events;
    for (const json& event : cluster().Json("job events " + job))
      if (event["type"] == type) events.push_back(event);
    return events;
  }
};

TEST_F(PreemptionTest, APreemptedJobGoesOnAtItsCheckpointWithTheSameBatches) {
  const std::string calm = cluster().Submit(absl::StrCat(kOptions, "--name undisturbed"));
  ASSERT_EQ(cluster().Wait(calm).code, 0);
  const std::string victim = cluster().Submit(absl::StrCat(kOptions, "--name preempted"));
  WaitFor([&] { return cluster().Step(victim) >= 4; });
  const std::string urgent = Urgent("urgent");
  ASSERT_EQ(cluster().Wait(urgent).code, 0) << cluster().Seer("job events " + urgent).out;
  ASSERT_EQ(cluster().Wait(victim).code, 0) << cluster().Seer("job events " + victim).out;

  const std::string log = cluster().Seer("job events " + victim).out;
  ASSERT_EQ(Events(victim, "preempted").size(), 1u) << log;
  EXPECT_EQ(cluster().Describe(victim)["preemptions"], 1);
  const auto starts = Events(victim, "attempt_started");
  ASSERT_EQ(starts.size(), 2u) << log;
  // The step of the checkpoint that the first attempt wrote when it was told to go.
  std::string written;
  for (const json& checkpoint : Events(victim, "checkpoint_committed"))
    if (checkpoint["attempt"] == 1) written = checkpoint["message"];
  ASSERT_TRUE(absl::StartsWith(written, "step ")) << log;
  EXPECT_NE(written, "step 25") << "it was written in passing";
  EXPECT_TRUE(absl::StrContains(starts[1]["message"].get<std::string>(),
                                absl::StrCat("from ", written, ",")))
      << log;
  EXPECT_EQ(cluster().ConsumedIds(victim).size(), 60u);
  EXPECT_EQ(cluster().ConsumedIds(victim), cluster().ConsumedIds(calm));
  EXPECT_EQ(cluster().Weights(victim), cluster().Weights(calm));
}

TEST_F(PreemptionTest, OneThatAsksForItEndsAndTheExitCodeSaysSo) {
  const std::string victim = cluster().Submit(
      "--set optim.steps=1000000 --set scheduling.onPreemption=stop --name gives-up");
  WaitFor([&] { return cluster().Step(victim) >= 2; });
  const std::string urgent = Urgent("urgent-too");
  EXPECT_EQ(cluster().Wait(victim).code, 104);
  EXPECT_EQ(cluster().Describe(victim)["stateReason"], "PREEMPTED");
  EXPECT_GT(cluster().Json("checkpoint list " + victim).size(), 0u);
  EXPECT_EQ(cluster().Wait(urgent).code, 0);
}

TEST_F(PreemptionTest, QueuesAreMadeAndRefusedByTheCommandLine) {
  const Result made = cluster().Seer("queue create small --quota 1 --borrow 0 -o json");
  ASSERT_EQ(made.code, 0) << made.out;
  EXPECT_EQ(json::parse(made.out)["quotaDevices"], "1");
  EXPECT_EQ(cluster().Seer("queue create small").code, 6);
  const Result huge = cluster().Seer(
      absl::StrCat("job submit ", Cluster::Recipe(), " --set scheduling.queue=small"));
  EXPECT_EQ(huge.code, 2);
  EXPECT_TRUE(absl::StrContains(huge.out, "seer queue set small --quota N")) << huge.out;
  const Result plan = cluster().Seer(absl::StrCat("job plan ", Cluster::Recipe()));
  EXPECT_TRUE(absl::StrContains(plan.out, "now, on worker-0 x 1, worker-1 x 1")) << plan.out;
  EXPECT_EQ(cluster().Seer("queue set small --quota two").code, 2);
  EXPECT_EQ(cluster().Seer("queue set small").code, 2);
  EXPECT_EQ(cluster().Seer("queue set small --quota none --weight 2 --grace 90s").code, 0);
  const json small = cluster().Json("queue describe small");
  EXPECT_FALSE(small.contains("quotaDevices"));
  EXPECT_EQ(small["preemptionGrace"], "90s");
  EXPECT_TRUE(absl::StrContains(cluster().Seer("queue list").out, "small"));
  EXPECT_EQ(cluster().Seer("queue delete small").code, 2) << "nobody is there to be asked";
  EXPECT_EQ(cluster().Seer("queue delete small --yes").code, 0);
  EXPECT_EQ(cluster().Seer("queue describe small").code, 1);
}

}  // namespace
}  // namespace seer::e2e
