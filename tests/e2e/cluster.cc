#include "tests/e2e/cluster.h"

#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tests/support/image_files.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::unique_ptr<Cluster>& Shared() {
  static auto& shared = *new std::unique_ptr<Cluster>();
  return shared;
}

// Stops the shared cluster, if a test started it, when all tests are over.
class StopShared final : public ::testing::Environment {
 public:
  void TearDown() override { Shared().reset(); }
};
[[maybe_unused]] const auto* const kStopShared =
    ::testing::AddGlobalTestEnvironment(new StopShared);

bool IsNumber(const std::string& text) {
  return text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

fs::path Bin() {
  const char* bin = std::getenv("SEER_BIN_DIR");
  return bin != nullptr ? fs::path(bin) : fs::read_symlink("/proc/self/exe").parent_path();
}

fs::path Source() { return std::getenv("SEER_SOURCE_DIR"); }

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Result Shell(const std::string& command) {
  Result result;
  FILE* pipe = popen(absl::StrCat("{ ", command, "; } 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  size_t got;
  while ((got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0)
    result.out.append(buffer.data(), got);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

void WaitFor(const std::function<bool()>& done, int seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!done()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "waited for too long";
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

bool Runs(int pid) {
  const std::string stat = ReadAll(absl::StrCat("/proc/", pid, "/stat"));
  return !stat.empty() && !absl::StrContains(stat, ") Z ");
}

std::vector<int> ProcessesWith(const std::string& text) {
  std::vector<int> pids;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (!IsNumber(name) || !absl::StrContains(ReadAll(entry.path() / "cmdline"), text)) continue;
    if (Runs(std::stoi(name))) pids.push_back(std::stoi(name));
  }
  return pids;
}

void KillNow(int pid) {
  ASSERT_GT(pid, 1);
  ::kill(pid, SIGKILL);
  WaitFor([&] { return !Runs(pid); });
}

bool ConnectedTo(int pid, int port) {
  // A line of /proc/net/tcp: "0: 0100007F:A1B2 0100007F:1B9E 01 ... INODE": local, remote, state.
  const std::string remote = absl::StrFormat(":%04X", port);
  std::error_code gone;
  std::vector<std::string> sockets;
  for (const auto& entry : fs::directory_iterator(absl::StrCat("/proc/", pid, "/fd"), gone))
    sockets.push_back(fs::read_symlink(entry.path(), gone).string());
  const std::string connections = ReadAll(absl::StrCat("/proc/", pid, "/net/tcp")) +
                                  ReadAll(absl::StrCat("/proc/", pid, "/net/tcp6"));
  for (const auto& line : absl::StrSplit(connections, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 10 || !absl::EndsWith(fields[2], remote) || fields[3] != "01") continue;
    for (const std::string& socket : sockets)
      if (socket == absl::StrCat("socket:[", fields[9], "]")) return true;
  }
  return false;
}

Cluster::~Cluster() { Seer("cluster down"); }

std::map<std::string, std::string> Cluster::environment() const {
  return {{"SEER_HOME", (root() / "home").string()},
          {"SEER_CONFIG", (root() / "config.yaml").string()},
          {"SEER_RECIPES", (Source() / "recipes").string()},
          {"SEER_COORDINATOR", coordinators_},
          {"SEER_DATASERVICE", dataservices_}};
}

Result Cluster::Seer(const std::string& arguments) const {
  std::string command;
  for (const auto& [name, value] : environment())
    absl::StrAppend(&command, "export ", name, "='", value, "'; ");
  return Shell(absl::StrCat(command, (Bin() / "seer").string(), " ", arguments));
}

int Cluster::Pid(const std::string& process) const {
  return std::atoi(ReadAll(home() / "run" / (process + ".pid")).c_str());
}

int Cluster::Port(const std::string& process) const {
  return std::atoi(ReadAll(home() / "run" / (process + ".ports")).c_str());
}

int Cluster::TrainerOf(int agent) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (!IsNumber(name)) continue;
    const std::string stat = ReadAll(entry.path() / "stat");
    const size_t at = stat.rfind(") ");
    if (at == std::string::npos || !absl::StrContains(stat.substr(0, at), "seer-trainer")) continue;
    if (std::vector<std::string>(absl::StrSplit(stat.substr(at + 2), ' '))[1] ==
        std::to_string(agent))
      return std::stoi(name);
  }
  return 0;
}

std::string Cluster::Recipe() { return (Source() / "recipes/smoke.yaml").string(); }

void Cluster::AddDigits() const {
  testing::WriteLabelledFolder(root() / "images", 4, 50, 16);
  ASSERT_EQ(Seer("pool create digits").code, 0);
  const Result ingested = Seer(
      absl::StrCat("pool ingest digits ", (root() / "images").string(), " --labels-from-folders"));
  ASSERT_EQ(ingested.code, 0) << ingested.out;
}

std::string Cluster::Submit(const std::string& options) const {
  const Result result = Seer(absl::StrCat("job submit ", Recipe(), " ", options, " -o name"));
  EXPECT_EQ(result.code, 0) << result.out;
  const size_t at = result.out.find("job_");
  return at == std::string::npos ? "" : result.out.substr(at, 12);
}

Result Cluster::Wait(const std::string& job, int seconds) const {
  return Seer(absl::StrCat("job wait ", job, " --timeout ", seconds, "s"));
}

json Cluster::Json(const std::string& arguments) const {
  return json::parse(Seer(absl::StrCat(arguments, " -o json 2>/dev/null")).out, nullptr, false);
}

json Cluster::Describe(const std::string& job) const { return Json("job describe " + job); }

std::string Cluster::State(const std::string& job) const {
  const json described = Describe(job);
  return described.is_object() ? described.value("state", "") : "";
}

int64_t Cluster::Step(const std::string& job) const {
  const json described = Describe(job);
  if (!described.is_object() || !described.contains("progress")) return 0;
  return std::stoll(described["progress"].value("step", "0"));
}

std::map<int64_t, std::vector<std::string>> Cluster::ConsumedIds(const std::string& job) const {
  // step -> attempt -> rank -> ids; attempts may differ in their numbers of ranks
  std::map<int64_t, std::map<int, std::map<int, std::vector<std::string>>>> by_step;
  for (const auto& entry : fs::directory_iterator(home() / "storage" / job / "ids")) {
    int attempt = 0, rank = 0;
    EXPECT_EQ(
        std::sscanf(entry.path().filename().c_str(), "attempt-%d-rank-%d.jsonl", &attempt, &rank),
        2);
    for (const auto& line : absl::StrSplit(ReadAll(entry.path()), '\n', absl::SkipEmpty())) {
      const json record = json::parse(line.begin(), line.end(), nullptr, false);
      if (!record.is_object()) continue;  // the line that a kill cut off: its step did not run
      by_step[record["step"]][attempt][rank] = record["ids"];
    }
  }
  std::map<int64_t, std::vector<std::string>> ids;
  for (auto& [step, attempts] : by_step)
    for (auto& [rank, record] : attempts.rbegin()->second)
      ids[step].insert(ids[step].end(), record.begin(), record.end());
  return ids;
}

std::string Cluster::Weights(const std::string& job) const {
  const json list = Json("checkpoint list " + job);
  std::string digests;
  if (list.is_array() && !list.empty())
    for (const auto& file : list[0]["files"])
      absl::StrAppend(&digests, file["name"].get<std::string>(), ":",
                      file["sha256"].get<std::string>(), "\n");
  return digests;
}

void ClusterTest::SetUp() {
  if (Shared() != nullptr) return;
  Shared() = std::make_unique<Cluster>();
  const Result up = cluster().Up(kUp);
  ASSERT_EQ(up.code, 0) << up.out;
  cluster().AddDigits();
  WaitFor([] { return absl::StrContains(cluster().Seer("worker list").out, "worker-3"); });
}

Cluster& ClusterTest::cluster() { return *Shared(); }

}  // namespace seer::e2e
