// A rolling upgrade under a job: coordinators, data services and agents are replaced one by one by
// those of a newer version, which meanwhile work together with the older ones. SEER_OLDER_BIN names
// the folder with the older ones; without it both are the same.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/process.h"
#include "tests/support/postgres_server.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::PostgresServer;

class UpgradeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = PostgresServer::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    url_ = PostgresServer::Shared().NewDatabase();
    const char* const older = std::getenv("SEER_OLDER_BIN");
    older_ = older == nullptr ? Bin() : fs::path(older);
    for (const char* name : {"dataservice-0", "dataservice-1"}) StartDataService(name, older_);
    for (const char* name : {"coordinator-0", "coordinator-1"}) StartCoordinator(name, older_);
    cluster_.TalkTo(absl::StrJoin(Addresses("coordinator"), ","),
                    absl::StrJoin(Addresses("dataservice"), ","));
    for (const char* name : {"worker-0", "worker-1"}) StartWorker(name, older_);
    cluster_.AddDigits();
    WaitFor([&] { return cluster_.Json("worker list").size() == 2; });
  }
  void TearDown() override {
    if (!HasFailure()) return;
    for (const auto& [name, process] : processes_)
      std::printf("---- %s\n%s\n", name.c_str(), process->log().c_str());
  }

  std::string Path(const std::string& name) const { return (cluster_.root() / name).string(); }

  // Each takes the place of what ran under this name, at the same port.
  void Start(const std::string& name, std::vector<std::string> arguments, bool serves) {
    const std::string ports = Path(name + ".ports");
    if (serves) {
      fs::remove(ports);
      arguments.insert(arguments.end(), {"--listen", absl::StrCat("127.0.0.1:", ports_[name]),
                                         "--metrics", "127.0.0.1:0", "--port-file", ports});
    }
    processes_[name] =
        std::make_unique<Process>(arguments, Path(name + ".log"), std::vector<std::string>{},
                                  std::map<std::string, std::string>{{"SEER_FAILPOINTS", kSlow}});
    if (!serves) return;
    WaitFor([&] { return !ReadAll(ports).empty(); });
    ports_[name] = std::atoi(ReadAll(ports).c_str());
  }
  void StartDataService(const std::string& name, const fs::path& bin) {
    Start(name, {bin / "seer-dataservice", "--pools", Path("pools")}, true);
  }
  void StartCoordinator(const std::string& name, const fs::path& bin) {
    std::vector<std::string> arguments = {
        bin / "seer-coordinator",     "--database", url_,        "--storage",
        Path("home/cluster/storage"), "--logs",     Path("logs")};
    for (const std::string& address : Addresses("dataservice"))
      arguments.insert(arguments.end(), {"--dataservice", address});
    Start(name, arguments, true);
  }
  void StartWorker(const std::string& name, const fs::path& bin) {
    Start(name,
          {bin / "seer-worker", "--coordinator", absl::StrJoin(Addresses("coordinator"), ","),
           "--name", name, "--devices", "1", "--work-dir", Path(name)},
          false);
  }
  std::vector<std::string> Addresses(const std::string& kind) const {
    std::vector<std::string> addresses;
    for (const auto& [name, port] : ports_)
      if (absl::StartsWith(name, kind)) addresses.push_back(absl::StrCat("127.0.0.1:", port));
    return addresses;
  }
  // By its newest word.
  bool Leads(const std::string& name) const {
    const std::string log = processes_.at(name)->log();
    const size_t led = log.rfind(" info leading ");
    const size_t began = log.rfind(" info serving ");
    return led != std::string::npos && led > began;
  }
  // In this attempt the job makes some steps more.
  void ExpectSteps(const std::string& job, int attempt, const std::string& after) const {
    WaitFor([&] { return cluster_.Describe(job).value("attempt", 0) == attempt; });
    const int64_t step = cluster_.Step(job);
    WaitFor([&] { return cluster_.Step(job) >= step + 5; });
    EXPECT_EQ(cluster_.State(job), "JOB_STATE_RUNNING") << "after " << after;
  }

  // The job that is upgraded under takes its time: the bits are the same.
  static constexpr char kSlow[] =
      "trainer.compute.upgraded.1.0=slow@60,trainer.compute.upgraded.2.0=slow@60,"
      "trainer.compute.upgraded.3.0=slow@60,trainer.compute.upgraded.4.0=slow@60";
  std::string url_;
  Cluster cluster_;
  fs::path older_;
  std::map<std::string, int> ports_;
  std::map<std::string, std::unique_ptr<Process>> processes_;
};

TEST_F(UpgradeTest, EachProcessIsReplacedUnderAJobThatSeesTheSameBatches) {
  const std::string options =
      "--set optim.steps=400 --set checkpoint.everySteps=20 --set data.recordIds=true ";
  const std::string calm = cluster_.Submit(options + "--name calm");
  ASSERT_EQ(cluster_.Wait(calm).code, 0) << cluster_.Seer("job events " + calm).out;

  const std::string job = cluster_.Submit(options + "--name upgraded");
  WaitFor([&] { return cluster_.Step(job) >= 25; });
  // Those that stand by first, the leader last.
  const std::string leader = Leads("coordinator-0") ? "coordinator-0" : "coordinator-1";
  const std::string other = leader == "coordinator-0" ? "coordinator-1" : "coordinator-0";
  processes_[other]->End(SIGTERM);
  StartCoordinator(other, Bin());
  processes_[leader]->End(SIGTERM);
  WaitFor([&] { return Leads(other); });
  ExpectSteps(job, 1, "the leader's end");
  StartCoordinator(leader, Bin());
  for (const char* name : {"dataservice-0", "dataservice-1"}) {
    processes_[name]->End(SIGTERM);
    StartDataService(name, Bin());
    ExpectSteps(job, 1, name);
  }
  // Their ranks write a checkpoint, and the gang goes on from it.
  int attempt = 1;
  for (const char* name : {"worker-0", "worker-1"}) {
    processes_[name]->End(SIGTERM);
    StartWorker(name, Bin());
    ExpectSteps(job, ++attempt, name);
  }
  ASSERT_EQ(cluster_.Wait(job).code, 0) << cluster_.Seer("job events " + job).out;
  const json described = cluster_.Describe(job);
  EXPECT_EQ(described["attempt"], 3) << cluster_.Seer("job events " + job).out;
  EXPECT_FALSE(described.contains("lastFailure")) << described;
  EXPECT_EQ(cluster_.ConsumedIds(job), cluster_.ConsumedIds(calm));
  EXPECT_EQ(cluster_.ConsumedIds(job).size(), 400u);
  EXPECT_EQ(cluster_.Weights(job), cluster_.Weights(calm));
}

}  // namespace
}  // namespace seer::e2e
