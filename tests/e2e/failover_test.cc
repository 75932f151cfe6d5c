// Two coordinators on one PostgreSQL database, an agent and a running job, as real processes: the
// leader is killed, and stopped until another one leads.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/mounts.h"
#include "tests/e2e/process.h"
#include "tests/support/postgres_server.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::PostgresServer;

class FailoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = PostgresServer::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    Begin(PostgresServer::Shared());
  }
  void Begin(PostgresServer& server) {
    server_ = &server;
    url_ = server.NewDatabase();
    dataservice_ = std::make_unique<Process>(
        std::vector<std::string>{"seer-dataservice", "--listen", "127.0.0.1:0", "--pools",
                                 Path("pools"), "--port-file", Path("dataservice.ports")},
        Path("dataservice.log"));
    const std::string data = absl::StrCat("127.0.0.1:", PortIn("dataservice.ports"));
    std::vector<std::string> addresses;
    for (size_t i = 0; i < 2; ++i) {
      StartCoordinator(i, "127.0.0.1:0", data);
      ports_[i] = PortIn(absl::StrCat("coordinator-", i, ".ports"));
      addresses.push_back(absl::StrCat("127.0.0.1:", ports_[i]));
    }
    cluster_.TalkTo(absl::StrJoin(addresses, ","), data);
    worker_ = std::make_unique<Process>(
        std::vector<std::string>{"seer-worker", "--coordinator", absl::StrJoin(addresses, ","),
                                 "--name", "the-worker", "--devices", "2", "--work-dir",
                                 Path("work")},
        Path("worker.log"));
    cluster_.AddDigits();
    WaitFor([&] { return absl::StrContains(cluster_.Seer("worker list").out, "the-worker"); });
  }
  void TearDown() override {
    if (!HasFailure()) return;
    for (const auto& coordinator : coordinators_)
      if (coordinator) std::puts(coordinator->log().c_str());
    if (worker_) std::puts(worker_->log().c_str());
  }

  std::string Path(const std::string& name) const { return (cluster_.root() / name).string(); }
  int PortIn(const std::string& file) const {
    WaitFor([&] { return fs::exists(Path(file)); });
    return std::atoi(ReadAll(Path(file)).c_str());
  }
  void StartCoordinator(size_t i, const std::string& listen, const std::string& data) {
    const std::string name = absl::StrCat("coordinator-", i);
    coordinators_[i] = std::make_unique<Process>(
        std::vector<std::string>{"seer-coordinator", "--listen", listen, "--database", url_,
                                 "--storage", Path("storage"), "--logs", Path("logs"),
                                 "--dataservice", data, "--port-file", Path(name + ".ports")},
        Path(name + ".log"));
  }
  // By its newest word in the log.
  bool Leads(size_t i) const {
    const std::string log = coordinators_[i]->log();
    const size_t led = log.rfind(" info leading ");
    const size_t stood = log.rfind(" warn standing_by ");
    return led != std::string::npos && (stood == std::string::npos || stood < led);
  }
  size_t Leader() const {
    size_t leader = 0;
    WaitFor([&] { return Leads(leader = 0) || Leads(leader = 1); });
    return leader;
  }
  // A job that trains for as long as the test needs.
  std::string SubmitLongJob() {
    const std::string job =
        cluster_.Submit("--set optim.steps=100000 --set checkpoint.everySteps=20 --name long");
    WaitFor([&] { return cluster_.Step(job) > 20; });
    trainer_ = Cluster::TrainerOf(worker_->pid());
    EXPECT_GT(trainer_, 0);
    return job;
  }
  static int64_t LastCheckpoint(const json& job) {
    return std::stoll(job.value("lastCheckpointStep", "0"));
  }
  // Steps go on and checkpoints are committed, by the same attempt in the same processes.
  void ExpectTheSameAttemptGoesOn(const std::string& job, const json& before) {
    const int64_t step = std::stoll(before["progress"].value("step", "0"));
    const int64_t checkpoint = LastCheckpoint(before);
    json now;
    WaitFor([&] {
      now = cluster_.Describe(job);
      return now.is_object() && now.contains("progress") &&
             std::stoll(now["progress"].value("step", "0")) > step + 5 &&
             LastCheckpoint(now) > checkpoint;
    });
    EXPECT_EQ(now["state"], "JOB_STATE_RUNNING");
    EXPECT_EQ(now["attempt"], 1);
    EXPECT_TRUE(Runs(trainer_)) << "its trainer was ended";
    const std::string events = cluster_.Seer("job events " + job).out;
    EXPECT_EQ(Count(events, "attempt_started"), 1) << events;
    EXPECT_EQ(Count(events, "RESTARTING"), 0) << events;
    // None is missing, and none is there twice.
    EXPECT_EQ(server_->Sql(url_, "SELECT MAX(number) = COUNT(*) AND MIN(number) = 1 FROM events"),
              "t");
  }
  static int Count(const std::string& text, const std::string& word) {
    return static_cast<int>(std::vector<std::string>(absl::StrSplit(text, word)).size()) - 1;
  }

  PostgresServer* server_ = nullptr;
  std::string url_;
  Cluster cluster_;
  std::unique_ptr<Process> dataservice_, worker_;
  std::unique_ptr<Process> coordinators_[2];
  int ports_[2] = {0, 0};
  int trainer_ = 0;
};

TEST_F(FailoverTest, AKilledLeaderIsReplacedAndTheJobTrainsOn) {
  const std::string job = SubmitLongJob();
  const size_t leader = Leader();
  const json before = cluster_.Describe(job);
  const auto killed = std::chrono::steady_clock::now();
  coordinators_[leader]->End(SIGKILL);
  WaitFor([&] { return Leads(1 - leader); });
  RecordProperty("takeover_ms",
                 static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                      std::chrono::steady_clock::now() - killed)
                                      .count()));
  ExpectTheSameAttemptGoesOn(job, before);
  // The one that was killed comes back and stands by, and takes over when the leader is shut down.
  StartCoordinator(leader, absl::StrCat("127.0.0.1:", ports_[leader]),
                   cluster_.environment().at("SEER_DATASERVICE"));
  WaitFor([&] { return Count(coordinators_[leader]->log(), " info serving ") >= 2; });
  const json again = cluster_.Describe(job);
  coordinators_[1 - leader]->End(SIGTERM);
  ExpectTheSameAttemptGoesOn(job, again);
  const Result cancelled = cluster_.Seer("job cancel --yes " + job);
  EXPECT_EQ(cancelled.code, 0) << cancelled.out;
}

// As "ATTEMPT/RANK TEXT", without what `seer` says itself.
std::vector<std::string> LogLines(const std::string& output) {
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(output, '\n', absl::SkipEmpty()))
    if (absl::StartsWith(line, "1/") || absl::StartsWith(line, "2/")) lines.emplace_back(line);
  return lines;
}

TEST_F(FailoverTest, LogsAreFollowedOverKilledCoordinatorsWithoutALossOrARepetition) {
  const std::string job = SubmitLongJob();
  Process follower({"seer", "job", "logs", "-f", job}, Path("followed"), {},
                   cluster_.environment());
  const auto followed = [&] { return LogLines(ReadAll(Path("followed"))); };
  const auto stored = [&] { return LogLines(cluster_.Seer("job logs " + job).out); };
  WaitFor([&] { return followed().size() > 2; });
  // Its rank says more in every life of a coordinator, and nothing while it pauses.
  const auto waits_for_more = [&] {
    const size_t before = followed().size();
    WaitFor([&] { return followed().size() > before; });
    EXPECT_EQ(cluster_.Seer("job pause " + job).code, 0);
    WaitFor([&] { return cluster_.State(job) == "JOB_STATE_PAUSED"; });
    WaitFor([&] { return followed() == stored(); });
    EXPECT_EQ(cluster_.Seer("job resume " + job).code, 0);
  };
  const size_t leader = Leader();
  const std::string data = cluster_.environment().at("SEER_DATASERVICE");
  const auto restart = [&](size_t i) {
    StartCoordinator(i, absl::StrCat("127.0.0.1:", ports_[i]), data);
  };
  coordinators_[leader]->End(SIGKILL);  // another one leads
  WaitFor([&] { return Leads(1 - leader); });
  waits_for_more();
  coordinators_[1 - leader]->End(SIGKILL);  // none is there, then the same again
  restart(1 - leader);
  WaitFor([&] { return Leads(1 - leader); });
  waits_for_more();
  EXPECT_TRUE(absl::StrContains(ReadAll(Path("followed")), "the coordinator is away"));
  EXPECT_TRUE(absl::StrContains(ReadAll(Path("followed")), "the coordinator is back"));
  EXPECT_EQ(cluster_.Seer("job cancel --yes " + job).code, 0);
  WaitFor([&] { return !Runs(follower.pid()); });  // it ends with the job
  EXPECT_EQ(followed(), stored());
}

TEST_F(FailoverTest, ALeaderThatWasStoppedCommitsNothingWhenItGoesOn) {
  const std::string job = SubmitLongJob();
  const size_t leader = Leader();
  const json before = cluster_.Describe(job);
  coordinators_[leader]->Signal(SIGSTOP);
  // Waits in its socket until it goes on.
  const std::string address = absl::StrCat("127.0.0.1:", ports_[leader]);
  Result ghost;
  std::thread submit([&] {
    ghost = cluster_.Seer(absl::StrCat("--coordinator ", address, " job submit ", Cluster::Recipe(),
                                       " --name ghost"));
  });
  WaitFor([&] { return Leads(1 - leader); });
  coordinators_[leader]->Signal(SIGCONT);
  submit.join();
  EXPECT_EQ(ghost.code, 5) << ghost.out;
  WaitFor([&] { return !Leads(leader); });
  ExpectTheSameAttemptGoesOn(job, before);
  EXPECT_TRUE(Leads(1 - leader));
  EXPECT_FALSE(absl::StrContains(cluster_.Seer("job list").out, "ghost"));
  const Result refused = cluster_.Seer(absl::StrCat("--coordinator ", address, " job list"));
  EXPECT_EQ(refused.code, 5) << refused.out;
  EXPECT_TRUE(absl::StrContains(refused.out, absl::StrCat(ports_[1 - leader], " leads")))
      << refused.out;
}

TEST_F(FailoverTest, ABackupIsTakenMeanwhileAndIsRestoredIntoAnEmptyDatabaseOnly) {
  const std::string job = SubmitLongJob();
  const std::string program = (Bin() / "seer-coordinator").string();
  const Result saved = Shell(absl::StrCat(program, " backup '", url_, "' ", Path("backup")));
  EXPECT_EQ(saved.code, 0) << saved.out;
  EXPECT_TRUE(absl::StrContains(saved.out, "1 jobs")) << saved.out;
  const std::string restore =
      absl::StrCat(program, " restore ", Path("backup"), " ", Path("restored.db"));
  const Result restored = Shell(restore);
  EXPECT_EQ(restored.code, 0) << restored.out;
  EXPECT_TRUE(absl::StrContains(restored.out, "restored ")) << restored.out;
  const Result again = Shell(restore);
  EXPECT_EQ(again.code, 1) << again.out;
  EXPECT_TRUE(absl::StrContains(again.out, "is not empty")) << again.out;
  const Result busy =
      Shell(absl::StrCat(program, " migrate --from '", url_, "' --to ", Path("copy.db")));
  EXPECT_EQ(busy.code, 1) << busy.out;
  EXPECT_TRUE(absl::StrContains(busy.out, "stop all coordinators")) << busy.out;
}

// The database on a file system of its own, in a mount namespace that ends with this process.
class FullDatabaseTest : public FailoverTest {
 protected:
  void SetUp() override {
    if (const std::string missing = PostgresServer::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    if (const std::string missing = OwnMounts(); !missing.empty()) GTEST_SKIP() << missing;
    std::string pattern = (fs::temp_directory_path() / "seer-full-XXXXXX").string();
    disk_ = mkdtemp(pattern.data());
    fs::permissions(disk_, fs::perms(0755));
    ASSERT_EQ(mount("tmpfs", disk_.c_str(), "tmpfs", 0, "size=160m,mode=0755"), 0)
        << std::strerror(errno);
    full_server_ = std::make_unique<PostgresServer>(disk_);
    Begin(*full_server_);
  }
  void TearDown() override {
    FailoverTest::TearDown();
    if (disk_.empty()) return;
    for (auto& coordinator : coordinators_) coordinator.reset();
    full_server_.reset();
    EXPECT_EQ(umount(disk_.c_str()), 0) << std::strerror(errno);
    fs::remove(disk_);
  }
  fs::path filler() const { return disk_ / "filler"; }
  // Takes all that is left of the disk.
  void Fill() const {
    const std::string block(1 << 20, 'x');
    std::ofstream file(filler(), std::ios::binary);
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
    struct statvfs info {};
    ASSERT_EQ(statvfs(disk_.c_str(), &info), 0);
    ASSERT_EQ(info.f_bavail, 0u);
  }

  fs::path disk_;
  std::unique_ptr<PostgresServer> full_server_;
};

TEST_F(FullDatabaseTest, TheJobTrainsOnAndNothingIsLostOnceThereIsSpace) {
  const std::string job = SubmitLongJob();
  Leader();
  Fill();
  const auto said = [&](const std::string& what) {
    return absl::StrContains(absl::StrCat(coordinators_[0]->log(), coordinators_[1]->log()), what);
  };
  WaitFor([&] { return said("No space left on device"); });
  EXPECT_TRUE(said("database_commit_failed"));
  const Result refused = cluster_.Seer("job submit " + Cluster::Recipe() + " --name refused");
  EXPECT_NE(refused.code, 0) << refused.out;
  EXPECT_TRUE(Runs(trainer_)) << "a gang must not die of the coordinator's disk";

  fs::remove(filler());
  json now;
  WaitFor([&] {
    now = cluster_.Describe(job);
    return now.is_object() && now.contains("progress");
  });
  ExpectTheSameAttemptGoesOn(job, now);
  const Result accepted = cluster_.Seer("job submit " + Cluster::Recipe() + " --name accepted");
  EXPECT_EQ(accepted.code, 0) << accepted.out;
  EXPECT_FALSE(absl::StrContains(cluster_.Seer("job list").out, "refused"))
      << "what was refused is there";
}

TEST(Coordinator, ADatabaseThatCannotBeReachedEndsItWithTheRemedy) {
  const Result away = Shell(absl::StrCat((Bin() / "seer-coordinator").string(),
                                         " --storage /tmp/none --listen 127.0.0.1:0 --database "
                                         "postgresql://u:secret@127.0.0.1:1/seer"));
  EXPECT_EQ(away.code, 1) << away.out;
  for (const char* words : {"cannot connect to the database postgresql://u@127.0.0.1:1/seer",
                            "check that the server runs"})
    EXPECT_TRUE(absl::StrContains(away.out, words)) << away.out;
  EXPECT_FALSE(absl::StrContains(away.out, "secret")) << away.out;
}

TEST(Coordinator, ItsVerbsExplainThemselves) {
  const std::string program = (Bin() / "seer-coordinator").string();
  for (const char* verb : {"migrate", "backup", "restore"}) {
    const Result help = Shell(absl::StrCat(program, " ", verb, " --help"));
    EXPECT_EQ(help.code, 0);
    EXPECT_TRUE(absl::StrContains(help.out, absl::StrCat("  seer-coordinator ", verb, " ")))
        << help.out;
    EXPECT_EQ(Shell(absl::StrCat(program, " ", verb)).code, 2);
  }
  const Result bare = Shell(program);
  EXPECT_EQ(bare.code, 2) << bare.out;
  EXPECT_TRUE(absl::StrContains(bare.out, "--storage is required")) << bare.out;
}

}  // namespace
}  // namespace seer::e2e
