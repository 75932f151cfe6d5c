// What only PostgreSQL can get wrong: servers and connections that go away, rights, and two
// coordinators on one database.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "coordinator/store/database_url.h"
#include "coordinator/store/leader_lease.h"
#include "coordinator/store/postgres_database.h"
#include "coordinator/store/store.h"
#include "tests/support/postgres_server.h"
#include "tests/support/status_matchers.h"

namespace seer::coordinator {
namespace {

using absl::StatusCode;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::PostgresServer;

const Moment kNow{absl::FromUnixMicros(1'700'000'000'123'456), absl::Seconds(100)};
constexpr absl::Duration kLease = absl::Seconds(4);

std::string HintOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail ? detail->hint : "";
}

class PostgresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = PostgresServer::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    url_ = server().NewDatabase();
  }
  static PostgresServer& server() { return PostgresServer::Shared(); }
  std::string Sql(const std::string& sql) { return server().Sql(url_, sql); }
  absl::StatusOr<OpenedDatabase> Open() { return OpenDatabase(url_, kLease); }
  // Opened, and in a term of its own.
  OpenedDatabase Lead(const std::string& address = "here:1") {
    auto opened = Open();
    EXPECT_OK(opened);
    const auto state = opened->lease->Campaign(address);
    EXPECT_OK(state);
    EXPECT_GT(state->term, 0) << state->leader;
    EXPECT_OK(opened->store->BeginTerm(state->term));
    return *std::move(opened);
  }
  absl::Status CreateJob(Store& store, const std::string& name) {
    command::CreateJob create;
    create.job.name = name;
    create.request_id = name;
    create.id_seed = std::hash<std::string>()(name);
    return store.Apply(core_.Step(create, kNow).changes, core_);
  }

  std::string url_;
  Core core_{CoreOptions{}};
};

TEST_F(PostgresTest, AWrongPasswordIsNamedButNotShown) {
  server().Sql(url_, "DROP USER IF EXISTS alice; CREATE USER alice PASSWORD 'right'");
  const std::string url = server().Url("postgres", "alice", "wr0ng-secret");
  const absl::Status status = OpenDatabase(url).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kUnauthenticated, reason::kDatabaseAccessDenied,
                                "password authentication failed"));
  EXPECT_THAT(HintOf(status), HasSubstr("PGPASSWORD"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("wr0ng-secret")));
  EXPECT_THAT(DatabaseName(url).value(), Not(HasSubstr("wr0ng-secret")));
  EXPECT_THAT(OpenDatabase(server().Url("postgres", "nobody", "x")),
              FailsWith(StatusCode::kUnauthenticated, reason::kDatabaseAccessDenied, "nobody"));
}

TEST_F(PostgresTest, AUserWithoutRightsIsToldWhatToDo) {
  server().Sql(url_, "DROP USER IF EXISTS bob; CREATE USER bob PASSWORD 'bob'");
  const std::string name = server().Sql(url_, "SELECT current_database()");
  const absl::Status status = OpenDatabase(server().Url(name, "bob", "bob")).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kPermissionDenied, reason::kDatabaseAccessDenied,
                                "permission denied"));
  EXPECT_THAT(HintOf(status), HasSubstr("OWNER TO"));
}

TEST_F(PostgresTest, AMissingDatabaseIsNamed) {
  const absl::Status status = OpenDatabase(server().Url("nowhere")).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kNotFound, reason::kDatabaseNotFound, "nowhere"));
  EXPECT_THAT(HintOf(status), HasSubstr("createdb"));
}

TEST_F(PostgresTest, AServerThatIsAwayIsNamed) {
  const absl::Status status = OpenDatabase("postgresql://127.0.0.1:1/seer").status();
  EXPECT_THAT(status, FailsWith(StatusCode::kUnavailable, reason::kDatabaseUnreachable,
                                "postgresql://127.0.0.1:1/seer"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("refused"));
  EXPECT_THAT(HintOf(status), HasSubstr("check that the server runs"));
}

TEST_F(PostgresTest, AUrlThatCannotBeReadIsRefusedWithoutItsPassword) {
  const absl::Status status = OpenDatabase("postgresql://u:s%3cret%zz@host/db").status();
  EXPECT_THAT(status, FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "URL"));
  EXPECT_THAT(status.ToString(), Not(HasSubstr("s%3cret")));
}

TEST_F(PostgresTest, ADatabaseInAnotherEncodingIsRefused) {
  server().Sql(url_, "DROP DATABASE IF EXISTS latin");
  server().Sql(url_, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  const absl::Status status = OpenDatabase(server().Url("latin")).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "LATIN1"));
  EXPECT_THAT(HintOf(status), HasSubstr("--encoding=UTF8"));
}

TEST_F(PostgresTest, ANewerSchemaIsRefused) {
  Lead();
  Sql("UPDATE schema_version SET version = 99");
  EXPECT_THAT(Open(),
              FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseTooNew, "schema 99"));
}

TEST_F(PostgresTest, AConnectionThatBrokeIsMadeAgainAndNothingIsLost) {
  OpenedDatabase opened = Lead();
  ASSERT_OK(CreateJob(*opened.store, "a"));
  Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
      "'seer-coordinator' AND datname = current_database()");
  EXPECT_OK(CreateJob(*opened.store, "b"));
  EXPECT_OK(opened.lease->Campaign("here:1"));
  EXPECT_EQ(opened.store->Load()->jobs.size(), 2u);
}

TEST_F(PostgresTest, WhatCannotBeCommittedWhileTheServerIsAwayIsCommittedLater) {
  OpenedDatabase opened = Lead();
  ASSERT_OK(CreateJob(*opened.store, "a"));
  server().Kill();
  command::CreateJob create;
  create.job.name = "b";
  create.id_seed = 5;
  const Changes changes = core_.Step(create, kNow).changes;
  EXPECT_THAT(opened.store->Apply(changes, core_),
              FailsWith(StatusCode::kUnavailable, reason::kDatabaseUnreachable, "database"));
  EXPECT_THAT(opened.store->Load(),
              FailsWith(StatusCode::kUnavailable, reason::kDatabaseUnreachable, "database"));
  server().Start();
  EXPECT_OK(opened.store->Apply(changes, core_));
  EXPECT_EQ(opened.store->Load()->jobs.size(), 2u);
}

// What hangs must not hang the coordinator's loop with it.
TEST_F(PostgresTest, AServerThatDoesNotAnswerIsGivenUp) {
  auto opened = OpenDatabase(url_, absl::Seconds(2));
  ASSERT_OK(opened);
  const std::string pids = Sql(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'seer-coordinator' AND datname = "
      "current_database()");
  std::istringstream each(pids);
  std::vector<pid_t> backends;
  for (pid_t pid; each >> pid;) backends.push_back(pid);
  ASSERT_EQ(backends.size(), 2u);
  server().Signal(SIGSTOP);
  for (pid_t pid : backends) ::kill(pid, SIGSTOP);
  const auto state = opened->lease->Campaign("here:1");
  for (pid_t pid : backends) ::kill(pid, SIGCONT);
  server().Signal(SIGCONT);
  EXPECT_THAT(state,
              FailsWith(StatusCode::kUnavailable, reason::kDatabaseUnreachable, "no answer"));
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!opened->lease->Campaign("here:1").ok()) ASSERT_LT(absl::Now(), deadline);
}

TEST_F(PostgresTest, AFullDiskIsSaidAndNothingIsChanged) {
  OpenedDatabase opened = Lead();
  Sql("CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
      "'could not extend file' USING ERRCODE = 'disk_full'; END $$");
  Sql("CREATE TRIGGER full_disk BEFORE INSERT ON requests EXECUTE FUNCTION fill()");
  command::CreateJob create;
  create.job.name = "a";
  create.request_id = "r";
  const Changes changes = core_.Step(create, kNow).changes;
  const absl::Status status = opened.store->Apply(changes, core_);
  EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, reason::kDiskFull, "extend file"));
  EXPECT_THAT(HintOf(status), HasSubstr("free space"));
  EXPECT_TRUE(opened.store->Load()->jobs.empty());
  Sql("DROP TRIGGER full_disk ON requests");
  EXPECT_OK(opened.store->Apply(changes, core_));
  EXPECT_EQ(opened.store->Load()->jobs.size(), 1u);
}

// It refuses such text, and every commit with it would fail for ever.
TEST_F(PostgresTest, TextThatIsNotUtf8IsMadeSo) {
  OpenedDatabase opened = Lead();
  command::CreateJob create;
  create.job.name = "a";
  create.request_id = std::string("zero\0byte", 9) + "\xff";
  ASSERT_OK(opened.store->Apply(core_.Step(create, kNow).changes, core_));
  EXPECT_EQ(opened.store->Load()->requests.at(0).id,
            "create/zero\xef\xbf\xbd"
            "byte\xef\xbf\xbd");
}

TEST_F(PostgresTest, OneLeadsUntilItResignsOrItsLeaseEnds) {
  OpenedDatabase first = Lead("first:1");
  auto second = Open();
  ASSERT_OK(second);
  auto state = second->lease->Campaign("second:2");
  ASSERT_OK(state);
  EXPECT_EQ(state->term, 0);
  EXPECT_EQ(state->leader, "first:1");
  const int64_t term = first.lease->Campaign("first:1")->term;
  EXPECT_GT(term, 0);
  EXPECT_EQ(first.lease->Campaign("first:1")->term, term) << "a renewal is no new term";
  ASSERT_OK(first.lease->Resign());
  EXPECT_EQ(second->lease->Campaign("second:2")->term, term + 1);
  EXPECT_EQ(first.lease->Campaign("first:1")->leader, "second:2");
  // The second one falls silent.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (first.lease->Campaign("first:1")->term == 0) {
    ASSERT_LT(absl::Now(), deadline);
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_EQ(first.lease->Campaign("first:1")->term, term + 2);
}

TEST_F(PostgresTest, WhoHasLostTheLeaseCommitsNothing) {
  OpenedDatabase first = Lead("first:1");
  ASSERT_OK(CreateJob(*first.store, "a"));
  ASSERT_OK(first.lease->Resign());
  OpenedDatabase second = Lead("second:2");
  const absl::Status refused = CreateJob(*first.store, "b");
  EXPECT_THAT(refused, FailsWith(StatusCode::kUnavailable, reason::kNotLeader, "second:2 leads"));
  EXPECT_EQ(GetErrorDetail(refused)->metadata.at("leader"), "second:2");
  EXPECT_EQ(second.store->Load()->jobs.size(), 1u);
}

// A leader that is stopped in the middle of a commit holds the row's lock: the server ends that.
TEST_F(PostgresTest, ATransactionThatIsLeftAloneDoesNotHoldUpTheNextLeader) {
  OpenedDatabase first = Lead("first:1");
  auto second = Open();
  ASSERT_OK(second);
  PostgresOptions options;
  options.transaction_limit = kLease;
  auto stopped = OpenPostgres(url_, options);
  ASSERT_OK(stopped);
  const int64_t term = first.lease->Campaign("first:1")->term;
  const absl::Status committed = (*stopped)->Transact([&]() -> absl::Status {
    SEER_RETURN_IF_ERROR(CheckLeads(**stopped, term));
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (absl::Now() < deadline) {
      const auto state = second->lease->Campaign("second:2");
      if (state.ok() && state->term > 0) return absl::OkStatus();
      absl::SleepFor(absl::Milliseconds(20));
    }
    return absl::DeadlineExceededError("the second one does not get the lease");
  });
  EXPECT_THAT(committed, FailsWith(StatusCode::kUnavailable, reason::kDatabaseUnreachable, "idle"));
  EXPECT_EQ(second->lease->Campaign("second:2")->term, term + 1);
}

TEST_F(PostgresTest, TwoThatStartAtOnceOnAnEmptyDatabaseAgree) {
  std::vector<std::thread> threads;
  std::vector<int64_t> terms(4);
  for (size_t i = 0; i < terms.size(); ++i) {
    threads.emplace_back([&, i] {
      auto opened = Open();
      ASSERT_OK(opened);
      const auto state = opened->lease->Campaign("here:1");
      ASSERT_OK(state);
      terms[i] = state->term;
      if (state->term > 0) ASSERT_OK(opened->store->BeginTerm(state->term));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::count(terms.begin(), terms.end(), 1), 1);
  EXPECT_EQ(std::count(terms.begin(), terms.end(), 0), 3);
  EXPECT_EQ(Sql("SELECT version FROM schema_version"), "6");
}

}  // namespace
}  // namespace seer::coordinator
