// Jobs of two ranks on three machines of a network, and everything that goes wrong there at once,
// by seed: processes killed and stopped, machines cut off, a disk that is slow or full, clocks that
// jump. Each job succeeds, with the batches and the weights of an undisturbed one, and its ledger
// has every second. SEER_CHAOS_RUNS=50 runs so many seeds, SEER_CHAOS_FIRST=7 begins with that one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/disturb.h"
#include "tests/e2e/network.h"
#include "tests/e2e/process.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr int kMachines = 3;
constexpr int kSteps = 240;
constexpr int kFaults = 6;  // a run
constexpr int64_t kDiskBytes = 48 << 20;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

class Machines {
 public:
  Machines() {
    fs::create_directories(home());
    mounted_ =
        mount("tmpfs", home().c_str(), "tmpfs", 0, absl::StrCat("size=", kDiskBytes).c_str()) == 0;
    EXPECT_TRUE(mounted_) << "cannot mount a tmpfs";
    const fs::path file = cluster_.root() / "disturbance";
    std::ofstream(file) << std::string(sizeof(Disturbance), '\0');
    const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
    disturbance_ = static_cast<Disturbance*>(
        ::mmap(nullptr, sizeof(Disturbance), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ::close(fd);
    environment_ = {{"LD_PRELOAD", SEER_DISTURB_LIBRARY}, {kDisturbVariable, file.string()}};
    StartDataService();
    StartCoordinator();
    for (int i = 0; i < kMachines; ++i) StartAgent(i);
    cluster_.TalkTo(kCoordinator, kDataService);
    WaitFor([&] { return cluster_.Seer("pool list").code == 0; });
    cluster_.AddDigits();
    WaitFor([&] {
      const json workers = cluster_.Json("worker list");
      return workers.is_array() && workers.size() == kMachines;
    });
  }
  ~Machines() {
    for (auto& agent : agents_) agent.reset();
    coordinator_.reset();
    dataservice_.reset();
    ::munmap(disturbance_, sizeof(Disturbance));
    if (mounted_) EXPECT_EQ(umount2(home().c_str(), MNT_DETACH), 0);
  }

  void StartCoordinator() {
    coordinator_ = std::make_unique<Process>(
        std::vector<std::string>{"seer-coordinator", "--insecure", "--listen", kCoordinator,
                                 "--database", (home() / "state.db").string(), "--storage",
                                 (home() / "storage").string(), "--dataservice", kDataService,
                                 "--lease", "4s", "--heartbeat", "500ms", "--cordon-after", "0"},
        Log("coordinator"), std::vector<std::string>{}, environment_);
  }
  void StartDataService() {
    dataservice_ = std::make_unique<Process>(
        std::vector<std::string>{"seer-dataservice", "--insecure", "--listen", kDataService,
                                 "--pools", (cluster_.root() / "pools").string()},
        Log("dataservice"), std::vector<std::string>{}, environment_);
  }
  void StartAgent(int i) {
    const std::string name = absl::StrCat("machine-", i);
    agents_[i] = std::make_unique<Process>(
        std::vector<std::string>{"seer-worker", "--coordinator", kCoordinator, "--name", name,
                                 "--devices", "1", "--address", Network::Address(i), "--work-dir",
                                 (cluster_.root() / name).string()},
        Log(name), Network::Inside(i), environment_);
  }

  Cluster& cluster() { return cluster_; }
  Disturbance& disturbance() { return *disturbance_; }
  Process& coordinator() { return *coordinator_; }
  Process& dataservice() { return *dataservice_; }
  Process& agent(int i) { return *agents_[i]; }
  fs::path filler() const { return home() / "filler"; }
  void FillDisk() const {
    struct statvfs info {};
    EXPECT_EQ(statvfs(home().c_str(), &info), 0);
    std::ofstream(filler(), std::ios::binary)
        << std::string(static_cast<size_t>(info.f_bavail * info.f_bsize), 'x');
  }
  std::string Logs() const {
    std::string all;
    for (const char* name : {"coordinator", "machine-0", "machine-1", "machine-2", "dataservice"})
      absl::StrAppend(&all, "---- ", name, "\n", ReadAll(Log(name)));
    return all;
  }

 private:
  static constexpr char kCoordinator[] = "10.9.0.1:7070", kDataService[] = "10.9.0.1:7080";
  fs::path home() const { return cluster_.home(); }
  fs::path Log(const std::string& name) const { return cluster_.root() / (name + ".log"); }

  Cluster cluster_;
  bool mounted_ = false;
  Disturbance* disturbance_ = nullptr;
  std::map<std::string, std::string> environment_;
  std::unique_ptr<Process> coordinator_, dataservice_, agents_[kMachines];
};

struct Heal {
  Clock::time_point when;
  std::function<void()> heal;
};

class Chaos {
 public:
  Chaos(Machines& machines, uint64_t seed) : machines_(machines), random_(seed) {}
  ~Chaos() { HealAll(); }

  // Something goes wrong. Says what.
  std::string Disturb() {
    const int i = Below(kMachines);
    const std::string at = absl::StrCat("machine-", i);
    const int tenths = 5 + Below(60);
    const std::string span = absl::StrCat(" for ", tenths / 10, ".", tenths % 10, " s");
    switch (Below(11)) {
      case 0:
        return Trainer(i, SIGKILL) ? "trainer killed on " + at : "";
      case 1:
        machines_.agent(i).End(SIGKILL);
        machines_.StartAgent(i);
        return "agent killed on " + at;
      case 2:
        if (jumped_) return "";  // what passed until it is back would be counted by its clock
        killed_ = true;
        machines_.coordinator().End(SIGKILL);
        machines_.StartCoordinator();
        return "coordinator killed";
      case 3:
        machines_.dataservice().End(SIGKILL);
        machines_.StartDataService();
        return "data service killed";
      case 4:
        if (!Trainer(i, SIGSTOP)) return "";
        Later(tenths, [this, i] { Trainer(i, SIGCONT); });
        return "trainer stopped on " + at + span;
      case 5:
        machines_.agent(i).Signal(SIGSTOP);
        Later(tenths, [this, i] { machines_.agent(i).Signal(SIGCONT); });
        return "agent stopped on " + at + span;
      case 6:
        machines_.coordinator().Signal(SIGSTOP);
        Later(tenths, [this] { machines_.coordinator().Signal(SIGCONT); });
        return "coordinator stopped" + span;
      case 7:
        Network::SetLink(i, false);
        Later(tenths, [i] { Network::SetLink(i, true); });
        return at + " cut off" + span;
      case 8:
        machines_.disturbance().sync_delay_ns = (1 + Below(10)) * 100'000'000;
        Later(tenths, [this] { machines_.disturbance().sync_delay_ns = 0; });
        return "slow disk" + span;
      case 9:
        machines_.FillDisk();
        Later(tenths, [this] { fs::remove(machines_.filler()); });
        return "full disk" + span;
      default:
        if (killed_) return "";
        jumped_ = true;
        machines_.disturbance().clock_offset_ns = (Below(7200) - 3600) * int64_t{1'000'000'000};
        return absl::StrCat("the clocks jump by ",
                            machines_.disturbance().clock_offset_ns / 1'000'000'000, " s");
    }
  }
  void HealWhatIsDue() {
    const auto now = Clock::now();
    for (size_t i = heals_.size(); i-- > 0;) {
      if (heals_[i].when > now) continue;
      const std::function<void()> heal = std::move(heals_[i].heal);
      heals_.erase(heals_.begin() + static_cast<ptrdiff_t>(i));
      heal();
    }
  }
  void HealAll() {
    for (const Heal& heal : heals_) heal.heal();
    heals_.clear();
  }
  double Pause() { return 0.5 + Below(20) / 10.0; }  // until the next fault, seconds
  bool clocks_jumped() const { return jumped_; }

 private:
  int Below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  bool Trainer(int i, int signal) {
    const int pid = Cluster::TrainerOf(machines_.agent(i).pid());
    return pid > 0 && ::kill(pid, signal) == 0;
  }
  void Later(int tenths, std::function<void()> heal) {
    heals_.push_back({Clock::now() + std::chrono::milliseconds(100 * tenths), std::move(heal)});
  }

  Machines& machines_;
  std::mt19937_64 random_;
  std::vector<Heal> heals_;
  bool jumped_ = false, killed_ = false;
};

bool Ended(const std::string& state) {
  return state == "JOB_STATE_SUCCEEDED" || state == "JOB_STATE_FAILED" ||
         state == "JOB_STATE_CANCELLED";
}

struct Trained {
  std::map<int64_t, std::vector<std::string>> ids;
  std::string weights;
};

std::string Submit(Machines& machines) {
  return machines.cluster().Submit(absl::StrCat(
      "--set optim.steps=", kSteps,
      " --set checkpoint.everySteps=20 --set data.recordIds=true --set failure.maxRestarts=1000 "
      "--set distributed.collectiveTimeout=20s --set distributed.threadsPerRank=1"));
}

// As no fault disturbs it.
const Trained& Calm() {
  static const Trained& calm = *new Trained([] {
    Machines machines;
    const std::string job = Submit(machines);
    EXPECT_EQ(machines.cluster().Wait(job).code, 0) << machines.Logs();
    return Trained{machines.cluster().ConsumedIds(job), machines.cluster().Weights(job)};
  }());
  return calm;
}

class ChaosTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  static void SetUpTestSuite() {
    static const auto& missing = *new std::string(Network::Make(kMachines));
    missing_ = missing;
  }
  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << missing_;
  }
  static inline std::string missing_;
};

TEST_P(ChaosTest, TheJobSucceedsAsIfNothingHadBeen) {
  const Trained& calm = Calm();
  ASSERT_EQ(calm.ids.size(), static_cast<size_t>(kSteps));
  Machines machines;
  std::string said;
  const auto before = Clock::now();
  const std::string job = Submit(machines);
  ASSERT_FALSE(job.empty()) << machines.Logs();
  const auto made = Clock::now();
  auto alive = made;
  bool jumped = false;
  {
    Chaos chaos(machines, GetParam());
    int faults = 0;
    auto next = made + std::chrono::seconds(2);
    std::string state;
    while (!Ended(state)) {
      ASSERT_LT(Seconds(Clock::now() - made), 240)
          << said << machines.cluster().Describe(job).dump(1) << machines.Logs()
          << machines.cluster().Seer("job logs --tail 200 " + job).out;
      chaos.HealWhatIsDue();
      if (faults < kFaults && Clock::now() > next) {
        const double at = Seconds(Clock::now() - made);
        if (const std::string fault = chaos.Disturb(); !fault.empty()) {
          ++faults;
          absl::StrAppend(&said, absl::StrFormat("%6.1f s: %s\n", at, fault));
          next = Clock::now() + std::chrono::milliseconds(static_cast<int>(chaos.Pause() * 1000));
        }
      }
      if (faults == kFaults && Clock::now() > next) chaos.HealAll();
      const auto asked = Clock::now();
      const std::string answer = machines.cluster().State(job);
      if (!answer.empty()) state = answer;
      if (!answer.empty() && !Ended(state)) alive = asked;
    }
    jumped = chaos.clocks_jumped();
  }
  const auto after = Clock::now();
  const json described = machines.cluster().Describe(job);
  const std::string story =
      absl::StrCat(said, machines.cluster().Seer("job events " + job).out, described.dump(1));
  ASSERT_EQ(described["state"], "JOB_STATE_SUCCEEDED") << story << machines.Logs();
  EXPECT_EQ(machines.cluster().ConsumedIds(job), calm.ids) << story;
  EXPECT_EQ(machines.cluster().Weights(job), calm.weights) << story;
  double all = 0;
  for (const json& share : described["timeShares"]) all += share["seconds"].get<double>();
  EXPECT_GE(all, Seconds(alive - made) - 0.1) << story;
  EXPECT_LE(all, Seconds(after - before) + 0.1) << story;
  if (!jumped) {
    absl::Time created, ended;
    std::string error;
    ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, described["createTime"].get<std::string>(),
                                &created, &error));
    ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, described["endTime"].get<std::string>(), &ended,
                                &error));
    EXPECT_NEAR(all, absl::ToDoubleSeconds(ended - created), 0.05) << story;
  }
  std::cout << "seed " << GetParam() << ": " << described["attempt"] << " attempts, "
            << absl::StrFormat("%.1f s\n", Seconds(after - made)) << said << std::flush;
}

std::vector<uint64_t> Seeds() {
  const char* const runs = std::getenv("SEER_CHAOS_RUNS");
  const char* const first = std::getenv("SEER_CHAOS_FIRST");
  std::vector<uint64_t> seeds(runs == nullptr ? 2 : std::stoull(runs));
  for (size_t i = 0; i < seeds.size(); ++i)
    seeds[i] = i + (first == nullptr ? 1 : std::stoull(first));
  return seeds;
}

INSTANTIATE_TEST_SUITE_P(Seeds, ChaosTest, ::testing::ValuesIn(Seeds()));

}  // namespace
}  // namespace seer::e2e
