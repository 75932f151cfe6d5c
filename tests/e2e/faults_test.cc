// Real trainers that somebody kills, and a worker that is drained under a running job.
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {
namespace {

using nlohmann::json;

class FaultsTest : public ClusterTest {
 protected:
  static constexpr char kOptions[] =
      "--set optim.steps=400 --set checkpoint.everySteps=20 --set data.recordIds=true "
      "--set distributed.ranks=1 ";
  static std::string WorkerOf(const std::string& job) {
    const std::string name = cluster().Describe(job)["ranks"][0]["worker"];
    return name.substr(std::string("workers/").size());
  }
  // Waits until the attempt has made a step beyond `step`; gives the step.
  static int64_t StepBeyond(const std::string& job, int attempt, int64_t step) {
    WaitFor([&] {
      const json now = cluster().Describe(job);
      return now["attempt"] == attempt && now["state"] == "JOB_STATE_RUNNING" &&
             cluster().Step(job) > step;
    });
    return cluster().Step(job);
  }
};

TEST_F(FaultsTest, AJobLeavesMachinesThatKillItsTrainersAndThoseThatAreDrained) {
  const std::string calm = cluster().Submit(absl::StrCat(kOptions, "--name calm"));
  ASSERT_EQ(cluster().Wait(calm).code, 0);
  const std::string job = cluster().Submit(absl::StrCat(kOptions, "--name driven"));
  std::set<std::string> left;
  for (const int attempt : {1, 2}) {
    StepBeyond(job, attempt, 2);
    const std::string worker = WorkerOf(job);
    EXPECT_TRUE(left.insert(worker).second) << "again on " << worker;
    KillNow(Cluster::TrainerOf(cluster().Pid(worker)));
    WaitFor([&] { return cluster().Describe(job)["attempt"] == attempt + 1; });
    const json failure = cluster().Describe(job)["lastFailure"];
    EXPECT_EQ(failure["failureClass"], "FAILURE_CLASS_MACHINE") << failure;
    EXPECT_EQ(failure["sign"], "signal 9");
    EXPECT_EQ(failure["worker"], "workers/" + worker);
    EXPECT_EQ(failure["attempt"], attempt);
  }
  const std::string described = cluster().Seer("job describe " + job).out;
  EXPECT_TRUE(absl::StrContains(described, "machine (signal 9), attempt 2")) << described;
  EXPECT_TRUE(absl::StrContains(described, "seer worker describe")) << described;

  StepBeyond(job, 3, 2);
  const std::string worker = WorkerOf(job);
  EXPECT_FALSE(left.contains(worker)) << "again on " << worker;
  const Result drained =
      cluster().Seer(absl::StrCat("worker drain ", worker, " --reason dust --wait --timeout 2m"));
  EXPECT_EQ(drained.code, 0) << drained.out;
  EXPECT_TRUE(absl::StrContains(drained.out, absl::StrCat("leaving ", worker))) << drained.out;
  EXPECT_TRUE(absl::StrContains(drained.out, "UP,DRAINED")) << drained.out;
  EXPECT_TRUE(absl::StrContains(drained.out, "dust")) << drained.out;
  WaitFor([&] { return cluster().Describe(job)["attempt"] == 4; });
  EXPECT_NE(WorkerOf(job), worker);
  ASSERT_EQ(cluster().Wait(job).code, 0) << cluster().Seer("job events " + job).out;
  EXPECT_TRUE(absl::StrContains(cluster().Seer("worker list").out, "UP,DRAINED"));
  EXPECT_EQ(cluster().Seer("worker uncordon " + worker).code, 0);
  EXPECT_FALSE(cluster().Json("worker describe " + worker).contains("cordon"));

  EXPECT_EQ(cluster().ConsumedIds(job).size(), 400u);
  EXPECT_EQ(cluster().ConsumedIds(job), cluster().ConsumedIds(calm));
  EXPECT_EQ(cluster().Weights(job), cluster().Weights(calm));
}

TEST_F(FaultsTest, WorkersAreCordonedByTheCommandLine) {
  EXPECT_EQ(cluster().Seer("worker cordon worker-0").code, 2) << "a reason is asked for";
  EXPECT_EQ(cluster().Seer("worker cordon nobody --reason loud").code, 1);
  EXPECT_EQ(cluster().Seer("worker drain worker-0 --timeout soon").code, 2);
  ASSERT_EQ(cluster().Seer("worker cordon worker-0 --reason 'fan is loud'").code, 0);
  const json worker = cluster().Json("worker describe worker-0");
  EXPECT_EQ(worker["cordon"]["reason"], "fan is loud");
  EXPECT_TRUE(absl::StrContains(cluster().Seer("worker list -o wide").out, "fan is loud"));
  EXPECT_EQ(cluster().Seer("worker uncordon worker-0").code, 0);
  EXPECT_FALSE(absl::StrContains(cluster().Seer("worker list").out, "CORDONED"));
}

}  // namespace
}  // namespace seer::e2e
