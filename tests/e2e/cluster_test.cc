// A whole cluster of real processes: four agents, two data service replicas, one coordinator.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/image_files.h"
#include "tests/support/temp_dir.h"

namespace seer {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Result {
  int code = -1;
  std::string out;  // stdout and stderr
};

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Cluster {
 public:
  Cluster() {
    setenv("SEER_HOME", (dir_ / "home").c_str(), 1);
    setenv("SEER_CONFIG", (dir_ / "config.yaml").c_str(), 1);
    unsetenv("SEER_COORDINATOR");
    unsetenv("SEER_DATASERVICE");
  }
  ~Cluster() { Seer("cluster down"); }

  static fs::path Bin() {
    const char* bin = std::getenv("SEER_BIN_DIR");
    return bin != nullptr ? fs::path(bin) : fs::read_symlink("/proc/self/exe").parent_path();
  }
  static Result Shell(const std::string& command) {
    Result result;
    FILE* pipe = popen(absl::StrCat(command, " 2>&1").c_str(), "r");
    std::array<char, 4096> buffer;
    size_t got;
    while ((got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0)
      result.out.append(buffer.data(), got);
    const int status = pclose(pipe);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
  }
  static Result Seer(const std::string& arguments) {
    return Shell(absl::StrCat((Bin() / "seer").string(), " ", arguments));
  }
  Result Up() { return Seer("cluster up --workers 4 --dataservices 2"); }

  fs::path home() const { return fs::path(dir_ / "home") / "cluster"; }
  fs::path root() const { return dir_.path(); }
  int Pid(const std::string& process) const {
    return std::atoi(ReadAll(home() / "run" / (process + ".pid")).c_str());
  }
  // SIGKILL, and wait until it is gone.
  static void Kill(int pid) {
    ASSERT_GT(pid, 1);
    ::kill(pid, SIGKILL);
    WaitFor([&] {
      const std::string stat = ReadAll(absl::StrCat("/proc/", pid, "/stat"));
      return stat.empty() || absl::StrContains(stat, ") Z ");
    });
  }
  // A trainer that runs under the agent, 0: none.
  static int TrainerOf(int agent) {
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string stat = ReadAll(entry.path() / "stat");
      const size_t at = stat.rfind(") ");
      if (at == std::string::npos || !absl::StrContains(stat.substr(0, at), "seer-trainer"))
        continue;
      if (std::vector<std::string>(absl::StrSplit(stat.substr(at + 2), ' '))[1] ==
          std::to_string(agent))
        return std::stoi(name);
    }
    return 0;
  }
  // Polls what only the file system or another process can tell.
  static void WaitFor(const std::function<bool()>& done, int seconds = 120) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "waited for too long";
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  static json Describe(const std::string& job) {
    const Result result = Seer(absl::StrCat("job describe ", job, " -o json 2>/dev/null"));
    return json::parse(result.out, nullptr, false);
  }
  static int64_t Step(const std::string& job) {
    const json described = Describe(job);
    if (!described.is_object() || !described.contains("progress")) return 0;
    return std::stoll(described["progress"].value("step", "0"));
  }
  static std::string Submit(const std::string& options) {
    const Result result = Seer(absl::StrCat("job submit ", Recipe(), " ", options, " -o name"));
    EXPECT_EQ(result.code, 0) << result.out;
    const size_t at = result.out.find("job_");
    return at == std::string::npos ? "" : result.out.substr(at, 12);
  }
  static std::string Recipe() {
    return (fs::path(std::getenv("SEER_SOURCE_DIR")) / "recipes/smoke.yaml").string();
  }

  // step -> ids of the whole global batch, as the attempt that got furthest with it consumed them.
  std::map<int64_t, std::vector<std::string>> ConsumedIds(const std::string& job) const {
    std::map<int64_t, std::map<int, std::pair<int, std::vector<std::string>>>>
        by_step;  // step -> rank -> (attempt, ids)
    for (const auto& entry : fs::directory_iterator(home() / "storage" / job / "ids")) {
      int attempt = 0, rank = 0;
      EXPECT_EQ(
          std::sscanf(entry.path().filename().c_str(), "attempt-%d-rank-%d.jsonl", &attempt, &rank),
          2);
      for (const auto& line : absl::StrSplit(ReadAll(entry.path()), '\n', absl::SkipEmpty())) {
        const json record = json::parse(line.begin(), line.end(), nullptr, false);
        if (!record.is_object()) continue;  // the line that a kill cut off: its step did not run
        auto& slot = by_step[record["step"]][rank];
        if (attempt >= slot.first) slot = {attempt, record["ids"]};
      }
    }
    std::map<int64_t, std::vector<std::string>> ids;
    for (auto& [step, ranks] : by_step)
      for (auto& [rank, record] : ranks)
        ids[step].insert(ids[step].end(), record.second.begin(), record.second.end());
    return ids;
  }
  // Digests of the files of the job's newest checkpoint.
  static std::string Weights(const std::string& job) {
    const Result result = Seer(absl::StrCat("checkpoint list ", job, " -o json 2>/dev/null"));
    const json list = json::parse(result.out, nullptr, false);
    std::string digests;
    if (list.is_array() && !list.empty())
      for (const auto& file : list[0]["files"])
        absl::StrAppend(&digests, file["name"].get<std::string>(), ":",
                        file["sha256"].get<std::string>(), "\n");
    return digests;
  }

 private:
  testing::TempDir dir_;
};

class ClusterTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new Cluster();
    const Result up = cluster_->Up();
    ASSERT_EQ(up.code, 0) << up.out;
    testing::WriteLabelledFolder(cluster_->root() / "images", 4, 50, 16);
    ASSERT_EQ(Cluster::Seer("pool create digits").code, 0);
    const Result ingested = Cluster::Seer(absl::StrCat(
        "pool ingest digits ", (cluster_->root() / "images").string(), " --labels-from-folders"));
    ASSERT_EQ(ingested.code, 0) << ingested.out;
    Cluster::WaitFor(
        [] { return absl::StrContains(Cluster::Seer("worker list").out, "worker-3"); });
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }
  static Result Wait(const std::string& job, int seconds = 300) {
    return Cluster::Seer(absl::StrCat("job wait ", job, " --timeout ", seconds, "s"));
  }

  static Cluster* cluster_;
};
Cluster* ClusterTest::cluster_ = nullptr;

TEST_F(ClusterTest, TheSameSpecGivesTheSameBitsPausedOrNot) {
  const std::string options =
      "--set optim.steps=40 --set checkpoint.everySteps=15 --set data.recordIds=true";
  const std::string a = Cluster::Submit(options + " --name same-a"),
                    b = Cluster::Submit(options + " --name same-b");
  ASSERT_EQ(Wait(a).code, 0);
  ASSERT_EQ(Wait(b).code, 0);
  const std::string c = Cluster::Submit(options + " --name same-c");
  Cluster::WaitFor([&] { return Cluster::Step(c) >= 3; });
  const Result paused = Cluster::Seer("job pause " + c);
  ASSERT_EQ(paused.code, 0) << paused.out;
  Cluster::WaitFor([&] {
    return Cluster::Describe(c)["state"] != "JOB_STATE_PAUSING" &&
           Cluster::Describe(c)["state"] != "JOB_STATE_RUNNING";
  });
  EXPECT_EQ(Cluster::Describe(c)["state"], "JOB_STATE_PAUSED");
  ASSERT_EQ(Cluster::Seer("job resume " + c).code, 0);
  ASSERT_EQ(Wait(c).code, 0) << Cluster::Seer("job events " + c).out;
  EXPECT_FALSE(Cluster::Weights(a).empty());
  EXPECT_EQ(Cluster::Weights(a), Cluster::Weights(b));
  EXPECT_EQ(Cluster::Weights(a), Cluster::Weights(c));
  EXPECT_EQ(cluster_->ConsumedIds(a), cluster_->ConsumedIds(c));
}

TEST_F(ClusterTest, EveryWorldSizeConsumesTheSameGlobalBatches) {
  std::map<int, std::string> jobs;
  for (const int ranks : {1, 2, 4}) {
    jobs[ranks] = Cluster::Submit(absl::StrCat(
        "--set optim.steps=10 --set data.recordIds=true --set distributed.ranks=", ranks,
        " --name world-", ranks));
    ASSERT_EQ(Wait(jobs[ranks]).code, 0) << Cluster::Seer("job events " + jobs[ranks]).out;
  }
  EXPECT_EQ(cluster_->ConsumedIds(jobs[1]).size(), 10);
  EXPECT_EQ(cluster_->ConsumedIds(jobs[1]), cluster_->ConsumedIds(jobs[2]));
  EXPECT_EQ(cluster_->ConsumedIds(jobs[1]), cluster_->ConsumedIds(jobs[4]));
}

TEST_F(ClusterTest, UnderFireTheJobSucceedsWithTheSameBatches) {
  const std::string options =
      "--set optim.steps=150 --set checkpoint.everySteps=10 --set data.recordIds=true";
  const std::string calm = Cluster::Submit(options + " --name calm");
  ASSERT_EQ(Wait(calm).code, 0);
  const std::string job = Cluster::Submit(options + " --name fire");
  constexpr unsigned kSeed = 20210302;
  std::vector<std::string> victims = {"trainer", "agent", "dataservice", "coordinator"};
  std::shuffle(victims.begin(), victims.end(), std::mt19937(kSeed));
  RecordProperty("seed", static_cast<int>(kSeed));
  int64_t step = 0;
  for (const std::string& victim : victims) {
    Cluster::WaitFor([&] { return Cluster::Step(job) > step + 5; });
    step = Cluster::Step(job);
    ASSERT_LT(step, 145) << "the job was too fast for " << victim;
    const json ranks = Cluster::Describe(job)["ranks"];
    ASSERT_FALSE(ranks.empty());
    std::string worker = ranks[0]["worker"];
    worker = worker.substr(worker.find('/') + 1);
    SCOPED_TRACE(absl::StrCat("kill ", victim, " at step ", step));
    if (victim == "trainer") Cluster::Kill(Cluster::TrainerOf(cluster_->Pid(worker)));
    if (victim == "agent") Cluster::Kill(cluster_->Pid(worker));
    if (victim == "dataservice") Cluster::Kill(cluster_->Pid("dataservice-0"));
    if (victim == "coordinator") {
      Cluster::Kill(cluster_->Pid("coordinator"));
      const Result up = cluster_->Up();
      ASSERT_EQ(up.code, 0) << up.out;
    }
    step = 0;
    Cluster::WaitFor([&] { return (step = Cluster::Step(job)) > 0; });
  }
  ASSERT_EQ(Wait(job, 400).code, 0) << Cluster::Seer("job events " + job).out;
  const auto expected = cluster_->ConsumedIds(calm), consumed = cluster_->ConsumedIds(job);
  EXPECT_EQ(expected.size(), 150);
  EXPECT_EQ(expected, consumed);
  EXPECT_EQ(Cluster::Weights(job), Cluster::Weights(calm));
  ASSERT_EQ(cluster_->Up().code, 0);
}

TEST_F(ClusterTest, BadInputHasAMessageAndItsExitCode) {
  const auto expect = [](const std::string& arguments, int code, const std::string& text) {
    const Result result = Cluster::Seer(arguments);
    EXPECT_EQ(result.code, code) << arguments << "\n" << result.out;
    EXPECT_TRUE(absl::StrContains(result.out, text)) << arguments << "\n" << result.out;
  };
  const std::string recipe = Cluster::Recipe();
  expect("job submit " + recipe + " --set optim.stepz=3", 2, "did you mean 'steps'");
  expect("job submit " + recipe + " --set optim.steps=many", 2, "expected a whole number");
  expect("job submit " + recipe + " --set optim.steps=-3", 2, "must be at least 1");
  expect("job submit /no/such/file.yaml", 2, "cannot read");
  expect("job submit " + recipe + " --set distributed.ranks=8", 6, "8 ranks");
  expect("job submit " + recipe + " --set data.pool=nowhere", 1, "no pool 'nowhere'");
  ASSERT_EQ(Cluster::Seer("pool create empty").code, 0);
  expect("job submit " + recipe + " --set data.pool=empty", 1, "seer pool ingest");
  expect("job describe job_00000000", 1, "seer job list");
  expect("job wait job_00000000", 102, "no job");
  expect("job list --coordinator 127.0.0.1:1", 5, "cannot reach the coordinator");
  expect("job lisst", 2, "hint");
  expect("pool ingest digits /no/such/folder", 1, "no file or folder");
}

TEST_F(ClusterTest, CtrlCDetachesAndTheJobGoesOn) {
  const std::string job = Cluster::Submit("--set optim.steps=60 --name detached");
  const pid_t pid = fork();
  if (pid == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    execl((Cluster::Bin() / "seer").c_str(), "seer", "job", "wait", "--follow", job.c_str(),
          nullptr);
    _exit(127);
  }
  Cluster::WaitFor([&] { return Cluster::Step(job) >= 2; });
  kill(pid, SIGINT);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << status;
  EXPECT_NE(Cluster::Describe(job)["state"], "JOB_STATE_CANCELLED");
  ASSERT_EQ(Cluster::Seer("job cancel " + job).code, 0);
  EXPECT_EQ(Wait(job, 60).code, 103);
  EXPECT_EQ(Cluster::Seer("job cancel " + job).code, 0);  // again: nothing changes
  EXPECT_NE(Cluster::Seer("job pause " + job).code, 0);
}

TEST_F(ClusterTest, ACorruptedCheckpointIsFoundAndNamed) {
  const std::string job = Cluster::Submit("--name corrupted");
  ASSERT_EQ(Wait(job).code, 0);
  EXPECT_EQ(Cluster::Seer("checkpoint verify " + job + "/20").code, 0);
  const fs::path file = cluster_->home() / "storage" / job / "checkpoints/20/rank-1.safetensors";
  ASSERT_TRUE(fs::exists(file));
  ASSERT_TRUE(fs::exists(file.parent_path() / "COMMITTED"));
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(static_cast<std::streamoff>(fs::file_size(file)) - 9);
  bytes.write("x", 1);
  bytes.close();
  const Result verified = Cluster::Seer("checkpoint verify " + job + "/20");
  EXPECT_EQ(verified.code, 1);
  EXPECT_TRUE(absl::StrContains(verified.out, "rank-1.safetensors")) << verified.out;
  const Result evaluated =
      Cluster::Seer("eval knn " + job + " --train-pool digits --test-pool digits");
  EXPECT_EQ(evaluated.code, 100) << evaluated.out;
}

TEST_F(ClusterTest, KnnOfRandomAndTrainedTrunks) {
  const std::string job = Cluster::Submit("--name evaluated");
  ASSERT_EQ(Wait(job).code, 0);
  for (const char* options : {"", " --random"}) {
    const Result result = Cluster::Seer(absl::StrCat(
        "eval knn ", job, " --train-pool digits --test-pool digits -o json 2>/dev/null", options));
    ASSERT_EQ(result.code, 0) << result.out;
    const json evaluation = json::parse(result.out, nullptr, false);
    ASSERT_TRUE(evaluation.is_object()) << result.out;
    EXPECT_EQ(evaluation["evalResult"]["trainImages"], "200");
    // The held-out images are among those that vote, so the nearest neighbour is right.
    EXPECT_GT(evaluation["evalResult"]["knn"][0]["top1Ratio"].get<double>(), 0.25);
  }
}

TEST_F(ClusterTest, ASecondCoordinatorOnTheDatabaseOrPortIsRefused) {
  const std::string coordinator = (Cluster::Bin() / "seer-coordinator").string();
  const std::string rest =
      absl::StrCat(" --storage ", (cluster_->root() / "s").string(), " --dataservice 127.0.0.1:1");
  const Result database =
      Cluster::Shell(absl::StrCat("timeout 20 ", coordinator, " --listen 127.0.0.1:0 --database ",
                                  (cluster_->home() / "coordinator.db").string(), rest));
  EXPECT_EQ(database.code, 1) << database.out;
  EXPECT_TRUE(absl::StrContains(database.out, "another coordinator")) << database.out;
  const std::string port = ReadAll(cluster_->home() / "run/coordinator.port");
  const Result taken = Cluster::Shell(absl::StrCat(
      "timeout 20 ", coordinator, " --listen 127.0.0.1:", std::to_string(std::stoi(port)),
      " --database ", (cluster_->root() / "other.db").string(), rest));
  EXPECT_EQ(taken.code, 1) << taken.out;
  EXPECT_TRUE(absl::StrContains(taken.out, "in use")) << taken.out;
}

}  // namespace
}  // namespace seer
