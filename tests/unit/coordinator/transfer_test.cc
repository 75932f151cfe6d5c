// Migrations between databases, backups and restores: what comes out is what went in, or nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/store/backup_file.h"
#include "coordinator/store/leader_lease.h"
#include "coordinator/store/record_json.h"
#include "coordinator/store/store.h"
#include "coordinator/store/transfer.h"
#include "tests/support/postgres_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::coordinator {
namespace {

using absl::StatusCode;
using testing::FailsWith;
using testing::PostgresServer;
using testing::TempDir;

const Moment kNow{absl::FromUnixMicros(1'700'000'000'123'456), absl::Seconds(100)};

std::string ReadAll(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// A store as a coordinator has it; leads where that is needed.
class Opened {
 public:
  explicit Opened(const std::string& database) {
    auto opened = OpenDatabase(database);
    EXPECT_OK(opened);
    store_ = std::move(opened->store);
    lease_ = std::move(opened->lease);
    EXPECT_OK(store_->BeginTerm(lease_ ? lease_->Campaign("here:1")->term : 0));
  }
  ~Opened() {
    if (lease_) EXPECT_OK(lease_->Resign());
  }
  Store* operator->() { return store_.get(); }
  Store& operator*() { return *store_; }

 private:
  std::unique_ptr<Store> store_;
  std::unique_ptr<LeaderLease> lease_;
};

// Everything in a store, as text.
std::string Everything(const std::string& database) {
  Opened store(database);
  const StoredState state = store->Load().value();
  std::vector<std::string> lines;
  for (const Job& job : state.jobs)
    lines.push_back(absl::StrCat(ToJson(job), " spec ", absl::CHexEscape(job.spec)));
  for (const Checkpoint& checkpoint : state.checkpoints) lines.push_back(ToJson(checkpoint));
  for (const Worker& worker : state.workers) lines.push_back(ToJson(worker));
  for (const JobSchedule& schedule : state.schedules)
    lines.push_back(ToJson(schedule) + absl::CHexEscape(schedule.spec));
  for (const Sweep& sweep : state.sweeps)
    lines.push_back(ToJson(sweep) + absl::CHexEscape(sweep.definition));
  for (const Request& request : state.requests)
    lines.push_back(
        absl::StrCat(request.id, " -> ", request.job, absl::ToUnixMicros(request.time)));
  const std::vector<Event> events = store->Events("", 0, 100'000).value();
  for (const Event& event : events)
    lines.push_back(absl::StrCat(event.number, " ", absl::ToUnixMicros(event.created), event.job,
                                 event.attempt, event.type, event.from, event.to, event.reason,
                                 event.message));
  EXPECT_FALSE(lines.empty());
  std::sort(lines.begin(), lines.end());
  return absl::StrCat(state.first_event, " ", state.last_event, " ", state.last_attempt, "\n",
                      absl::StrJoin(lines, "\n"));
}

class TransferTest : public ::testing::Test {
 protected:
  // More rows than one statement inserts, and bytes that are no text.
  void MakeJobs(Store& store, int count) {
    Core core{CoreOptions{}};
    const auto commit = [&](const Command& command) {
      const Decision decision = core.Step(command, kNow);
      ASSERT_OK(store.Apply(decision.changes, core));
    };
    Worker worker;
    worker.name = "w";
    worker.devices = 1;
    commit(command::WorkerHello{worker, {}});
    for (int i = 0; i < count; ++i) {
      command::CreateJob create;
      create.job.name = absl::StrCat("job-", i, " caf\xc3\xa9");
      create.job.spec = std::string("\0\xff\\x'", 5) + std::to_string(i);
      create.job.plan = TrainingPlan(4);
      create.request_id = absl::StrCat("request-", i);
      create.id_seed = static_cast<uint64_t>(i);
      commit(create);
    }
    JobSchedule schedule;
    schedule.name = "nightly";
    schedule.cron = "@daily";
    schedule.spec = std::string("\0\xff", 2);
    commit(command::CreateSchedule{schedule});
    Sweep sweep;
    sweep.name = "rates";
    sweep.definition = std::string("\xff\0", 2);
    sweep.trials = 2;
    commit(command::CreateSweep{sweep, "", 1});
    for (const auto& [id, job] : core.jobs()) {
      if (!job.attempt) continue;
      commit(command::ReportCheckpoint{
          1, "jobs/" + id, 0, 1, 5, {"rank-0", 99, std::string(64, 'c')}});
    }
  }
  std::string Sqlite(const std::string& name) const { return dir_ / name; }
  std::string Backup() {
    const std::string file = dir_ / absl::StrCat("backup-", ++backups_);
    EXPECT_OK(BackUpDatabase(Sqlite("a.db"), file));
    return file;
  }

  TempDir dir_;
  int backups_ = 0;
};

TEST_F(TransferTest, ABackupGivesBackEverythingAndCountsIt) {
  MakeJobs(*Opened(Sqlite("a.db")), 250);
  const auto saved = BackUpDatabase(Sqlite("a.db"), dir_ / "backup");
  ASSERT_OK(saved);
  EXPECT_EQ(saved->at("jobs"), 250);
  EXPECT_EQ(saved->at("requests"), 250);
  EXPECT_EQ(saved->at("checkpoints"), 1);
  EXPECT_GT(saved->at("events"), 250);
  EXPECT_EQ(*RestoreDatabase(dir_ / "backup", Sqlite("b.db")), *saved);
  EXPECT_TRUE(Everything(Sqlite("b.db")) == Everything(Sqlite("a.db")));
  struct stat stat;
  ASSERT_EQ(::stat((dir_ / "backup").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 0777, 0600u) << "specs are nobody else's";
}

// Of schema 5: requests had no time. From its restoring on they are kept as if they were new.
TEST_F(TransferTest, ABackupOfAnOlderVersionIsRestored) {
  const std::string file = dir_ / "older";
  BackupWriter writer(file);
  ASSERT_OK(writer.Open(5, "a.db"));
  ASSERT_OK(writer.Add("requests", {std::string("create/one"), std::string("job_a")}));
  ASSERT_OK(writer.Finish());
  ASSERT_OK(RestoreDatabase(file, Sqlite("b.db")));
  StoredState state = Opened(Sqlite("b.db"))->Load().value();
  ASSERT_EQ(state.requests.size(), 1u);
  EXPECT_EQ(state.requests[0].job, "job_a");
  Core core{CoreOptions{}};
  core.Load(std::move(state), kNow);
  EXPECT_TRUE(core.Step(command::Tick{}, kNow).changes.removed_requests.empty());
  const Moment later{kNow.wall + absl::Hours(24 * 8), kNow.steady + absl::Hours(24 * 8)};
  EXPECT_EQ(core.Step(command::Tick{}, later).changes.removed_requests.size(), 1u);
}

TEST_F(TransferTest, GoesFromSqliteToPostgresAndBack) {
  if (const std::string missing = PostgresServer::Missing(); !missing.empty())
    GTEST_SKIP() << missing;
  MakeJobs(*Opened(Sqlite("a.db")), 250);
  const std::string url = PostgresServer::Shared().NewDatabase();
  const auto there = MigrateDatabase(Sqlite("a.db"), url);
  ASSERT_OK(there);
  EXPECT_EQ(there->at("jobs"), 250);
  const std::string before = Everything(Sqlite("a.db"));
  EXPECT_TRUE(Everything(url) == before);
  ASSERT_OK(BackUpDatabase(url, dir_ / "backup"));
  ASSERT_OK(MigrateDatabase(url, Sqlite("b.db")));
  EXPECT_TRUE(Everything(Sqlite("b.db")) == before);
  const std::string restored = PostgresServer::Shared().NewDatabase();
  ASSERT_OK(RestoreDatabase(dir_ / "backup", restored));
  EXPECT_TRUE(Everything(restored) == before);
}

TEST_F(TransferTest, ABackupIsOfOneMomentWhileTheCoordinatorRuns) {
  if (const std::string missing = PostgresServer::Missing(); !missing.empty())
    GTEST_SKIP() << missing;
  for (const std::string& database : {Sqlite("a.db"), PostgresServer::Shared().NewDatabase()}) {
    Opened store(database);
    MakeJobs(*store, 3);
    const std::string file = dir_ / absl::StrCat("backup-", ++backups_);
    EXPECT_OK(BackUpDatabase(database, file)) << database;
    EXPECT_EQ(RestoreDatabase(file, Sqlite(absl::StrCat("r", backups_)))->at("jobs"), 3);
  }
}

TEST_F(TransferTest, ATargetThatIsNotEmptyIsRefusedAndLeftAsItWas) {
  MakeJobs(*Opened(Sqlite("a.db")), 3);
  const std::string file = Backup();
  MakeJobs(*Opened(Sqlite("b.db")), 2);
  const std::string before = Everything(Sqlite("b.db"));
  EXPECT_THAT(RestoreDatabase(file, Sqlite("b.db")),
              FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseNotEmpty, "b.db"));
  EXPECT_THAT(MigrateDatabase(Sqlite("a.db"), Sqlite("b.db")),
              FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseNotEmpty, "b.db"));
  EXPECT_TRUE(Everything(Sqlite("b.db")) == before);
  if (!PostgresServer::Missing().empty()) return;
  const std::string url = PostgresServer::Shared().NewDatabase();
  ASSERT_OK(RestoreDatabase(file, url));
  EXPECT_THAT(RestoreDatabase(file, url),
              FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseNotEmpty, "rows in"));
}

TEST_F(TransferTest, WhatACoordinatorUsesIsNotMigratedNorRestoredInto) {
  {
    Opened running(Sqlite("a.db"));
    MakeJobs(*running, 1);
    EXPECT_THAT(MigrateDatabase(Sqlite("a.db"), Sqlite("b.db")),
                FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseLocked, "a.db"));
  }
  const std::string file = Backup();
  if (const std::string missing = PostgresServer::Missing(); !missing.empty())
    GTEST_SKIP() << missing;
  const std::string url = PostgresServer::Shared().NewDatabase();
  Opened running(url);
  EXPECT_THAT(MigrateDatabase(url, Sqlite("c.db")),
              FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseLocked, "here:1"));
  EXPECT_THAT(RestoreDatabase(file, url),
              FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseLocked, "here:1"));
}

TEST_F(TransferTest, ADamagedBackupIsRefusedAndTouchesNothing) {
  MakeJobs(*Opened(Sqlite("a.db")), 3);
  const std::string good = ReadAll(Backup());
  const std::string target = Sqlite("target.db");
  const auto refused = [&](const std::string& what, const std::string& bytes, const char* why) {
    std::ofstream(dir_ / "damaged", std::ios::binary) << bytes;
    EXPECT_THAT(RestoreDatabase(dir_ / "damaged", target),
                FailsWith(StatusCode::kDataLoss, reason::kBackupCorrupt, why))
        << what;
    EXPECT_FALSE(std::filesystem::exists(target)) << what;
  };
  refused("empty", "", "end is missing");
  refused("cut off", good.substr(0, good.size() / 2), "line");
  refused("cut off between lines", good.substr(0, good.rfind("{\"rows\"")), "end is missing");
  refused("goes on", good + "{}\n", "goes on");
  refused("another kind of file", std::string(3000, '\x42'), "line 1");
  refused("a changed digit", absl::StrReplaceAll(good, {{"job-1 ", "job-7 "}}), "SHA-256");
  refused("a line is gone",
          absl::StrCat(good.substr(0, good.find('\n') + 1),
                       good.substr(good.find('\n', good.find('\n') + 1) + 1)),
          "SHA-256");
  // Every byte counts.
  for (size_t at = 0; at + 1 < good.size(); at += 97) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x04);
    std::ofstream(dir_ / "damaged", std::ios::binary) << bytes;
    EXPECT_FALSE(RestoreDatabase(dir_ / "damaged", target).ok()) << at;
    EXPECT_FALSE(std::filesystem::exists(target)) << at;
  }
}

TEST_F(TransferTest, ARecordThatCannotBeReadStopsAMigration) {
  MakeJobs(*Opened(Sqlite("a.db")), 3);
  if (const std::string missing = PostgresServer::Missing(); !missing.empty())
    GTEST_SKIP() << missing;
  const std::string url = PostgresServer::Shared().NewDatabase();
  ASSERT_OK(MigrateDatabase(Sqlite("a.db"), url));
  PostgresServer::Shared().Sql(
      url, "UPDATE jobs SET record = '{}' WHERE id = (SELECT MIN(id) FROM jobs)");
  EXPECT_THAT(MigrateDatabase(url, Sqlite("b.db")),
              FailsWith(StatusCode::kDataLoss, reason::kDatabaseCorrupt, "job"));
  Opened untouched(Sqlite("b.db"));
  EXPECT_TRUE(untouched->Load()->jobs.empty());
}

TEST_F(TransferTest, NamesWhatIsNotThere) {
  EXPECT_THAT(BackUpDatabase(Sqlite("none.db"), dir_ / "x"),
              FailsWith(StatusCode::kNotFound, reason::kDatabaseNotFound, "none.db"));
  EXPECT_THAT(MigrateDatabase(Sqlite("none.db"), Sqlite("b.db")),
              FailsWith(StatusCode::kNotFound, reason::kDatabaseNotFound, "none.db"));
  EXPECT_FALSE(std::filesystem::exists(Sqlite("none.db")));
  EXPECT_THAT(RestoreDatabase(dir_ / "none", Sqlite("b.db")),
              FailsWith(StatusCode::kNotFound, reason::kDatabaseNotFound, "none"));
  std::ofstream(Sqlite("empty.db")).flush();
  EXPECT_THAT(BackUpDatabase(Sqlite("empty.db"), dir_ / "x"),
              FailsWith(StatusCode::kNotFound, reason::kDatabaseNotFound, "no coordinator"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "x"));
  EXPECT_THAT(BackUpDatabase("mysql://a/b", dir_ / "x"),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "mysql"));
}

TEST_F(TransferTest, ABackupOverwritesNothingAndLeavesNoHalfFile) {
  MakeJobs(*Opened(Sqlite("a.db")), 1);
  std::ofstream(dir_ / "precious") << "precious";
  EXPECT_THAT(BackUpDatabase(Sqlite("a.db"), dir_ / "precious"),
              FailsWith(StatusCode::kAlreadyExists, reason::kInvalidArgument, "precious exists"));
  EXPECT_EQ(ReadAll(dir_ / "precious"), "precious");
  EXPECT_THAT(BackUpDatabase(Sqlite("a.db"), "/proc/nowhere/backup"),
              FailsWith(StatusCode::kUnavailable, reason::kStorageFailed, "/proc/nowhere"));
  EXPECT_THAT(BackUpDatabase(Sqlite("a.db"), "/dev/full/backup"),
              FailsWith(StatusCode::kUnavailable, reason::kStorageFailed, "/dev/full"));
}

TEST_F(TransferTest, ABackupOfANewerVersionIsRefused) {
  MakeJobs(*Opened(Sqlite("a.db")), 1);
  const std::string good = ReadAll(Backup());
  std::ofstream(dir_ / "newer", std::ios::binary)
      << absl::StrReplaceAll(good, {{"\"backup\":1", "\"backup\":2"}});
  EXPECT_THAT(RestoreDatabase(dir_ / "newer", Sqlite("b.db")),
              FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseTooNew, "newer version"));
}

}  // namespace
}  // namespace seer::coordinator
