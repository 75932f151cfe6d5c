// Real gangs that hang: a trainer that is stopped, one that never enters a collective, and one that
// gets no data.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/e2e/cluster.h"

namespace seer::e2e {
namespace {

using nlohmann::json;

class HangsTest : public ::testing::Test {
 protected:
  static constexpr char kOptions[] =
      "--set optim.steps=150 --set checkpoint.everySteps=20 --set data.recordIds=true "
      "--set distributed.ranks=2 ";

  void SetUp() override {
    // Of the first attempt alone. The name of the job, the attempt, the rank.
    setenv("SEER_FAILPOINTS",
           "trainer.compute.endless.1.1=hang@30,trainer.data.hungry.1.1=hang@30,"
           "trainer.compute.limping.1.1=slow@150,trainer.compute.limping.2.1=slow@150",
           1);
    const Result up = cluster_.Up("--workers 4");
    unsetenv("SEER_FAILPOINTS");
    ASSERT_EQ(up.code, 0) << up.out;
    cluster_.AddDigits();
    WaitFor([&] { return absl::StrContains(cluster_.Seer("worker list").out, "worker-3"); });
  }
  std::string Submit(const std::string& name, const std::string& options = "") const {
    return cluster_.Submit(absl::StrCat(kOptions, "--name ", name, " ", options));
  }
  // The newest event of the type; null: there is none.
  json Event(const std::string& job, const std::string& type) const {
    json found;
    for (const json& event : cluster_.Json("job events " + job))
      if (event["type"] == type) found = event;
    return found;
  }
  std::string Message(const std::string& job, const std::string& type) const {
    const json event = Event(job, type);
    return event.is_object() ? event.value("message", "") : "";
  }

  Cluster cluster_;
};

TEST_F(HangsTest, TheRankThatStandsStillIsNamedAndTheJobGoesOnWithoutIt) {
  const std::string calm = Submit("calm");
  ASSERT_EQ(cluster_.Wait(calm).code, 0) << cluster_.Seer("job events " + calm).out;

  const std::string stopped = Submit("stopped"), endless = Submit("endless");
  WaitFor([&] { return cluster_.Step(stopped) >= 25; });
  const json placed = cluster_.Describe(stopped)["ranks"][1];
  const std::string worker(absl::StripPrefix(placed["worker"].get<std::string>(), "workers/"));
  const int trainer = Cluster::TrainerOf(cluster_.Pid(worker));
  ASSERT_GT(trainer, 1);
  ::kill(trainer, SIGSTOP);

  WaitFor([&] { return !Message(stopped, "hang_found").empty(); });
  const std::string found = Message(stopped, "hang_found");
  EXPECT_TRUE(absl::StrContains(found, absl::StrCat("rank 1 on ", worker, " is stopped"))) << found;
  WaitFor([&] { return cluster_.Describe(stopped)["attempt"] == 2; });
  const json failure = cluster_.Describe(stopped)["lastFailure"];
  EXPECT_EQ(failure["failureClass"], "FAILURE_CLASS_MACHINE") << failure;
  EXPECT_EQ(failure["sign"], "stopped");
  EXPECT_EQ(failure["worker"], "workers/" + worker);
  EXPECT_EQ(Event(stopped, "attempt_ended")["reason"], "HUNG");
  const Result diagnosed = cluster_.Seer("job diagnose " + stopped);
  EXPECT_EQ(diagnosed.code, 0);
  for (const char* part : {"Failure:", "machine (stopped)", "Hang:", "flight recorder: step "})
    EXPECT_TRUE(absl::StrContains(diagnosed.out, part)) << part << "\n" << diagnosed.out;

  WaitFor([&] { return !Message(endless, "hang_found").empty(); });
  const std::string missing = Message(endless, "hang_found");
  EXPECT_TRUE(absl::StrContains(missing, "never entered all-reduce ")) << missing;
  EXPECT_TRUE(absl::StrContains(missing, ": computing for ")) << missing;
  EXPECT_TRUE(absl::StrContains(missing, "rank 0 waits for it")) << missing;
  EXPECT_EQ(cluster_.Json("job diagnose " + endless)["findings"][0]["topic"], "state");

  for (const std::string& job : {stopped, endless}) {
    ASSERT_EQ(cluster_.Wait(job).code, 0) << cluster_.Seer("job events " + job).out;
    EXPECT_EQ(cluster_.Describe(job)["attempt"], 2);
    EXPECT_EQ(cluster_.ConsumedIds(job), cluster_.ConsumedIds(calm));
    EXPECT_EQ(cluster_.Weights(job), cluster_.Weights(calm));
  }
}

TEST_F(HangsTest, AGangThatWaitsForDataIsSaidToAndEndsAtItsTimeout) {
  const std::string job = Submit("hungry", "--set failure.noProgressTimeout=45s");
  WaitFor([&] { return !Message(job, "hang_found").empty(); });
  EXPECT_EQ(cluster_.State(job), "JOB_STATE_RUNNING");
  const std::string found = Message(job, "hang_found");
  EXPECT_TRUE(absl::StrContains(found, "never entered all-reduce ")) << found;
  EXPECT_TRUE(absl::StrContains(found, ": waiting for data for ")) << found;
  const json ranks = cluster_.Describe(job)["ranks"];
  EXPECT_EQ(ranks[1]["activity"]["doing"], "data");
  EXPECT_EQ(ranks[0]["activity"]["doing"], "collective");
  const std::string described = cluster_.Seer("job describe " + job).out;
  for (const char* part : {"RANK", "DOING", "collective: all-reduce "})
    EXPECT_TRUE(absl::StrContains(described, part)) << described;
  WaitFor([&] { return cluster_.Describe(job)["attempt"] == 2; });
  const std::string timeout = Message(job, "no_progress");
  EXPECT_TRUE(absl::StrContains(timeout, "no step for 45s; ")) << timeout;
  EXPECT_TRUE(absl::StrContains(timeout, "rank 1: waiting for data for ")) << timeout;
  ASSERT_EQ(cluster_.Wait(job).code, 0) << cluster_.Seer("job events " + job).out;
}

TEST_F(HangsTest, ARankThatIsSlowIsNamedAndTheJobGoesOn) {
  const std::string job = Submit("limping", "--set optim.steps=100000");
  WaitFor([&] { return !Message(job, "straggler_found").empty(); });
  const std::string found = Message(job, "straggler_found");
  EXPECT_TRUE(absl::StrContains(found, "rank 1 on worker-")) << found;
  EXPECT_TRUE(absl::StrContains(found, " is slow: compute ")) << found;
  EXPECT_EQ(cluster_.State(job), "JOB_STATE_RUNNING");
  const Result diagnosed = cluster_.Seer("job diagnose " + job);
  EXPECT_TRUE(absl::StrContains(diagnosed.out, "rank 1")) << diagnosed.out;
  EXPECT_TRUE(absl::StrContains(diagnosed.out, "slow")) << diagnosed.out;
  EXPECT_EQ(cluster_.Seer("job cancel --yes " + job).code, 0);
}

}  // namespace
}  // namespace seer::e2e
