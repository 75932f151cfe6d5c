// Gangs of real processes that lose a machine: one shrinks and grows again, one has a spare.
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/process.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ElasticTest : public ::testing::Test {
 protected:
  // Agents of one device each; a silent one is given up after 3 s.
  void Start(int agents) {
    fs::create_directories(cluster_.home());
    dataservice_ = std::make_unique<Process>(
        std::vector<std::string>{"seer-dataservice", "--listen", "127.0.0.1:0", "--pools",
                                 Path("pools"), "--port-file", Path("dataservice.ports")},
        Path("dataservice.log"));
    const std::string data = absl::StrCat("127.0.0.1:", PortIn("dataservice.ports"));
    coordinator_ = std::make_unique<Process>(
        std::vector<std::string>{"seer-coordinator", "--listen", "127.0.0.1:0", "--database",
                                 Path("coordinator.db"), "--storage",
                                 (cluster_.home() / "storage").string(), "--dataservice", data,
                                 "--lease", "3s", "--grow-after", "1s", "--grow-every", "1s",
                                 "--port-file", Path("coordinator.ports")},
        Path("coordinator.log"));
    address_ = absl::StrCat("127.0.0.1:", PortIn("coordinator.ports"));
    cluster_.TalkTo(address_, data);
    cluster_.AddDigits();
    for (int i = 0; i < agents; ++i) agents_.push_back(Agent(i));
    for (int i = 0; i < agents; ++i) WaitFor([&] { return IsUp(i); });
  }
  void TearDown() override {
    if (!HasFailure()) return;
    std::puts(coordinator_->log().c_str());
  }

  std::string Path(const std::string& name) const { return (cluster_.root() / name).string(); }
  int PortIn(const std::string& file) const {
    WaitFor([&] { return fs::exists(Path(file)); });
    return std::atoi(ReadAll(Path(file)).c_str());
  }
  std::unique_ptr<Process> Agent(int i) const {
    return std::make_unique<Process>(
        std::vector<std::string>{"seer-worker", "--coordinator", address_, "--name",
                                 absl::StrCat("agent-", i), "--devices", "1", "--work-dir",
                                 Path(absl::StrCat("work-", i))},
        Path(absl::StrCat("agent-", i, ".log")));
  }
  bool IsUp(int i) const {
    const json workers = cluster_.Json("worker list");
    for (const json& worker : workers)
      if (worker["name"] == absl::StrCat("workers/agent-", i))
        return worker["state"] == "WORKER_STATE_UP";
    return false;
  }
  std::vector<std::string> WorkersOf(const std::string& job) const {
    std::vector<std::string> workers;
    const json description = cluster_.Describe(job);
    if (description.value("state", "") != "JOB_STATE_RUNNING") return workers;
    for (const json& rank : description["ranks"]) workers.push_back(rank["worker"]);
    return workers;
  }
  size_t Ranks(const std::string& job) const { return WorkersOf(job).size(); }
  int Count(const std::string& job, const std::string& type) const {
    int count = 0;
    for (const json& event : cluster_.Json("job events " + job)) count += event["type"] == type;
    return count;
  }
  // The number of the agent that has the job's last rank.
  int AgentOfLastRank(const std::string& job) const {
    const std::vector<std::string> workers = WorkersOf(job);
    return workers.empty() ? -1 : workers.back().back() - '0';
  }
  void Kill(int agent) {  // and its trainer with it
    agents_[static_cast<size_t>(agent)]->End(SIGKILL);
  }

  Cluster cluster_;
  std::string address_;
  std::unique_ptr<Process> dataservice_, coordinator_;
  std::vector<std::unique_ptr<Process>> agents_;
};

TEST_F(ElasticTest, AGangShrinksOnALossGrowsAgainAndSeesTheSameBatches) {
  Start(2);
  const std::string options =
      "--set optim.steps=400 --set checkpoint.everySteps=10 --set data.recordIds=true "
      "--set distributed.minRanks=1 --set optim.lr=0.02 ";
  const std::string calm = cluster_.Submit(options + "--name undisturbed");
  ASSERT_EQ(cluster_.Wait(calm).code, 0);
  const std::string job = cluster_.Submit(options + "--name elastic");
  WaitFor([&] { return cluster_.Step(job) >= 15; });
  const int lost = AgentOfLastRank(job);
  ASSERT_GE(lost, 0);
  Kill(lost);
  WaitFor([&] { return Ranks(job) == 1; }, /*seconds=*/90);
  const json alone = cluster_.Describe(job);
  EXPECT_EQ(alone["attempt"], 2);
  EXPECT_TRUE(
      absl::StrContains(cluster_.Seer("job describe " + job).out, "1 of 2 (elastic, at least 1)"))
      << cluster_.Seer("job describe " + job).out;
  WaitFor(
      [&] { return cluster_.Step(job) > std::stoll(alone["progress"].value("step", "0")) + 5; });
  // No step is done until it grows, however fast this machine is.
  dataservice_->Signal(SIGSTOP);
  agents_[static_cast<size_t>(lost)] = Agent(lost);
  WaitFor([&] { return Count(job, "gang_resized") == 1; }, /*seconds=*/60);
  dataservice_->Signal(SIGCONT);
  ASSERT_EQ(cluster_.Wait(job).code, 0) << cluster_.Seer("job events " + job).out;

  const std::string log = cluster_.Seer("job events " + job).out;
  EXPECT_EQ(Count(job, "attempt_started"), 3) << log;
  EXPECT_TRUE(absl::StrContains(log, "goes on with 2 ranks instead of 1")) << log;
  const auto ids = cluster_.ConsumedIds(job);
  EXPECT_EQ(ids.size(), 400u);
  EXPECT_EQ(ids, cluster_.ConsumedIds(calm));
  const double loss = cluster_.Describe(job)["progress"]["loss"];
  const double calm_loss = cluster_.Describe(calm)["progress"]["loss"];
  EXPECT_NEAR(loss, calm_loss, 0.1 * calm_loss) << "norms of a part are over fewer images";
}

TEST_F(ElasticTest, AGangGoesOnOnItsSpareWhileAnotherJobWaits) {
  Start(3);
  const std::string job = cluster_.Submit(
      "--set optim.steps=100000 --set checkpoint.everySteps=10 --set distributed.spareRanks=1 "
      "--name spared");
  WaitFor([&] { return cluster_.Step(job) >= 15; });
  const json before = cluster_.Describe(job);
  EXPECT_EQ(before["spareDevices"], 1);
  EXPECT_TRUE(absl::StrContains(cluster_.Seer("job describe " + job).out, "2 of 2, 1 spare"));
  const std::string other = cluster_.Submit(
      "--set optim.steps=4 --set distributed.ranks=1 --set scheduling.priority=-1 --name waits");
  WaitFor([&] { return cluster_.Describe(other).contains("wait"); });
  const int lost = AgentOfLastRank(job);
  ASSERT_GE(lost, 0);
  Kill(lost);
  WaitFor([&] { return cluster_.Describe(job)["attempt"] == 2 && Ranks(job) == 2; },
          /*seconds=*/90);
  for (const std::string& worker : WorkersOf(job))
    EXPECT_NE(worker, absl::StrCat("workers/agent-", lost));
  EXPECT_EQ(cluster_.State(other), "JOB_STATE_QUEUED");
  EXPECT_EQ(Count(other, "attempt_started"), 0);
  EXPECT_EQ(cluster_.Describe(job).value("spareDevices", 0), 0);
  WaitFor([&] { return cluster_.Step(job) > 15; });
  // The machine is back: it is first the gang's spare, then the other job's.
  agents_[static_cast<size_t>(lost)] = Agent(lost);
  WaitFor([&] { return cluster_.Describe(job).value("spareDevices", 0) == 1; });
  EXPECT_EQ(cluster_.State(other), "JOB_STATE_QUEUED");
  EXPECT_EQ(cluster_.Seer("job cancel --yes " + job).code, 0);
  EXPECT_EQ(cluster_.Wait(other).code, 0);
}

}  // namespace
}  // namespace seer::e2e
