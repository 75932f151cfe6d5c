// A cluster of real processes in a folder of its own, and the command line that talks to it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace seer::e2e {

struct Result {
  int code = -1;    // 128 + N: killed by signal N
  std::string out;  // stdout and stderr
};

std::filesystem::path Bin();     // where the programs are
std::filesystem::path Source();  // the tree that they were built from
std::string ReadAll(const std::filesystem::path& path);
Result Shell(const std::string& command);
// Polls what only the file system or another process can tell; fails the test after `seconds`.
void WaitFor(const std::function<bool()>& done, int seconds = 120);
// Running processes, without zombies, that have `text` among their arguments.
std::vector<int> ProcessesWith(const std::string& text);
bool Runs(int pid);                   // false: gone, or a zombie
void KillNow(int pid);                // SIGKILL, and waits until it is gone
bool ConnectedTo(int pid, int port);  // it holds an established TCP connection to that port

// Nothing runs before Up. The destructor stops what runs and removes the folder.
class Cluster {
 public:
  Cluster() = default;
  ~Cluster();
  Result Up(const std::string& options) const { return Seer("cluster up " + options); }
  // Runs `seer` with these arguments; its configuration is the cluster's.
  Result Seer(const std::string& arguments) const;
  std::map<std::string, std::string> environment() const;
  // Of processes that the test starts itself, instead of Up: HOST:PORT, several with commas.
  void TalkTo(const std::string& coordinators, const std::string& dataservices) {
    coordinators_ = coordinators;
    dataservices_ = dataservices;
  }

  std::filesystem::path home() const { return root() / "home/cluster"; }
  std::filesystem::path root() const { return dir_.path(); }
  int Pid(const std::string& process) const;   // "coordinator", "worker-0"
  int Port(const std::string& process) const;  // of its gRPC server
  // A trainer that runs under the agent, 0: none.
  static int TrainerOf(int agent);

  // Makes the labelled pool "digits" of 200 images.
  void AddDigits() const;
  // Of recipes/smoke.yaml with `options`; returns the job's id.
  std::string Submit(const std::string& options) const;
  Result Wait(const std::string& job, int seconds = 300) const;
  nlohmann::json Describe(const std::string& job) const;
  std::string State(const std::string& job) const;  // "JOB_STATE_RUNNING"
  int64_t Step(const std::string& job) const;
  nlohmann::json Json(const std::string& arguments) const;  // stdout of `seer ... -o json`
  static std::string Recipe();

  // step -> ids of the whole global batch, as the last attempt that did the step consumed them.
  std::map<int64_t, std::vector<std::string>> ConsumedIds(const std::string& job) const;
  // Digests of the files of the job's newest checkpoint.
  std::string Weights(const std::string& job) const;

 private:
  testing::TempDir dir_;
  std::string coordinators_, dataservices_;
};

// Four workers, two data services and the labelled pool "digits" of 200 images. The same cluster
// for every test of the program: what a test leaves behind, others see.
class ClusterTest : public ::testing::Test {
 protected:
  static constexpr char kUp[] = "--workers 4 --dataservices 2";
  void SetUp() override;
  static Cluster& cluster();
};

}  // namespace seer::e2e
