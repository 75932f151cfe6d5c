// The same expectations of every store;
// and what only SQLite can get wrong: locks, foreign files, newer schemas. postgres_test.cc has
// what only PostgreSQL can.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "coordinator/core/data_plan.h"
#include "coordinator/core/job_states.h"
#include "coordinator/store/leader_lease.h"
#include "coordinator/store/record_json.h"
#include "coordinator/store/store.h"
#include "tests/support/postgres_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::coordinator {
namespace {

using ::testing::ElementsAre;
using testing::FailsWith;
using testing::PostgresServer;
using testing::TempDir;

const Moment kNow{absl::FromUnixMicros(1'700'000'000'123'456), absl::Seconds(100)};

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path) {
  SEER_ASSIGN_OR_RETURN(OpenedDatabase opened, OpenDatabase(path));
  EXPECT_EQ(opened.lease, nullptr);
  return std::move(opened.store);
}

class StoreTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "postgres") {
      if (const std::string missing = PostgresServer::Missing(); !missing.empty())
        GTEST_SKIP() << missing;
      url_ = PostgresServer::Shared().NewDatabase();
    }
    Open();
  }
  void Open() {
    if (GetParam() == "memory") {
      if (!store_) store_ = MakeMemoryStore();
      return;
    }
    store_.reset();
    if (GetParam() == "postgres") {
      if (lease_) ASSERT_OK(lease_->Resign());
      auto opened = OpenDatabase(url_);
      ASSERT_OK(opened);
      store_ = std::move(opened->store);
      lease_ = std::move(opened->lease);
      const int64_t term = lease_->Campaign("here:1")->term;
      ASSERT_GT(term, 0);
      ASSERT_OK(store_->BeginTerm(term));
      return;
    }
    auto store = OpenSqliteStore(dir_ / "sub/folder/c.db");
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  // Steps the core and commits.
  Reply Do(Command command) {
    Decision decision = core_.Step(command, kNow);
    EXPECT_OK(store_->Apply(decision.changes, core_));
    return decision.reply;
  }
  static command::CreateJob Create(const std::string& name, const std::string& request = "") {
    command::CreateJob create;
    create.job.name = name;
    create.job.spec = std::string("opaque\0bytes", 12);
    create.job.plan = TrainingPlan(4);
    create.job.numbers.shape.ranks = 1;
    create.job.numbers.steps = 10;
    create.job.numbers.keep.last = 1;
    create.job.numbers.max_restarts = 2;
    create.job.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    create.request_id = request;
    create.id_seed = std::hash<std::string>()(name);
    return create;
  }
  void Hello() {
    Worker worker;
    worker.name = "w";
    worker.address = "10.0.0.1";
    worker.devices = 2;
    worker.incarnation = "i";
    Do(command::WorkerHello{worker, {}});
  }

  TempDir dir_;
  std::string url_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<LeaderLease> lease_;
  Core core_{CoreOptions{}};
};

TEST_P(StoreTest, IsEmptyAtFirst) {
  const StoredState state = store_->Load().value();
  EXPECT_TRUE(state.jobs.empty());
  EXPECT_EQ(state.last_event, 0);
  EXPECT_EQ(state.last_attempt, 0);
}

TEST_P(StoreTest, GivesBackEveryFieldOfARunningJob) {
  Hello();
  const std::string id = Do(Create("a", "request-1")).job;
  Progress progress;
  progress.step = 4;
  progress.loss = std::numeric_limits<double>::quiet_NaN();
  progress.first_loss = 7.25;
  Do(command::ReportProgress{1, "jobs/" + id, progress});
  Do(command::ReportCheckpoint{1, "jobs/" + id, 0, 1, 5, {"rank-0", 99, std::string(64, 'c')}});
  Open();
  const StoredState state = store_->Load().value();
  ASSERT_EQ(state.jobs.size(), 1u);
  const Job& job = state.jobs[0];
  const Job& expected = core_.jobs().at(id);
  EXPECT_EQ(ToJson(job), ToJson(expected));
  EXPECT_EQ(job.spec, expected.spec);
  EXPECT_EQ(job.created, kNow.wall);
  EXPECT_EQ(job.state, JobState::kRunning);
  EXPECT_EQ(job.numbers.max_restarts, 2);
  EXPECT_EQ(job.traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_EQ(job.plan.at(0).generation, 4);
  ASSERT_TRUE(job.attempt.has_value());
  EXPECT_EQ(job.attempt->ranks.at(0).worker, "w");
  EXPECT_EQ(job.first_loss, 7.25);
  EXPECT_TRUE(std::isnan(job.progress.loss));
  ASSERT_EQ(state.checkpoints.size(), 1u);
  EXPECT_EQ(ToJson(state.checkpoints[0]), ToJson(core_.checkpoints().begin()->second));
  EXPECT_EQ(state.checkpoints[0].files.at(0).size_bytes, 99);
  EXPECT_FALSE(state.checkpoints[0].marked);
  ASSERT_EQ(state.workers.size(), 1u);
  EXPECT_EQ(state.workers[0].address, "10.0.0.1");
  EXPECT_EQ(state.workers[0].devices, 2);
  EXPECT_EQ(state.requests, std::vector<Request>({{"create/request-1", id, kNow.wall}}));
  EXPECT_EQ(state.last_attempt, 1);
  EXPECT_GT(state.last_event, 3);
}

TEST_P(StoreTest, ReplacesAndRemoves) {
  Hello();
  const std::string id = Do(Create("a")).job;
  for (int step : {1, 2})
    Do(command::ReportCheckpoint{1, "jobs/" + id, 0, 1, step, {"rank-0", 9, std::string(64, 'c')}});
  Do(command::CommittedMarked{id, 2});
  Do(command::FilesDeleted{id, 1});
  Do(command::RankExited{"w", {1, "jobs/" + id, 0}, 0, "", ""});
  Open();
  const StoredState state = store_->Load().value();
  ASSERT_EQ(state.checkpoints.size(), 1u);
  EXPECT_EQ(state.checkpoints[0].step, 2);
  EXPECT_TRUE(state.checkpoints[0].marked);
  ASSERT_EQ(state.jobs.size(), 1u);
  EXPECT_EQ(state.jobs[0].state, JobState::kSucceeded);
  EXPECT_EQ(state.jobs[0].ended, kNow.wall);
  EXPECT_FALSE(state.jobs[0].attempt.has_value());
}

TEST_P(StoreTest, PinsAndLineageAreStored) {
  Hello();
  command::CreateJob create = Create("a");
  create.job.numbers.keep = {2, 30, 4};
  create.job.numbers.keep_last_when_full = 1;
  create.job.numbers.recipe = "abc";
  const std::string id = Do(create).job;
  Do(command::ReportCheckpoint{1, "jobs/" + id, 0, 1, 5, {"rank-0", 9, std::string(64, 'c')}});
  const std::string name = absl::StrCat("jobs/", id, "/checkpoints/5");
  EXPECT_OK(Do(command::PinCheckpoint{name, "alice", "in the paper"}).status);
  command::CreateJob fork = Create("b");
  fork.job.numbers.start_job = id;
  fork.job.numbers.start_step = 5;
  const std::string forked = Do(fork).job;
  Do(command::ReportCheckpoint{2, "jobs/" + forked, 0, 1, 7, {"r", 9, std::string(64, 'c')}});
  Open();
  StoredState state = store_->Load().value();
  ASSERT_EQ(state.checkpoints.size(), 2u);
  std::sort(state.checkpoints.begin(), state.checkpoints.end(),
            [](const Checkpoint& a, const Checkpoint& b) { return a.step < b.step; });
  ASSERT_TRUE(state.checkpoints[0].pin.has_value());
  EXPECT_EQ(state.checkpoints[0].pin->user, "alice");
  EXPECT_EQ(state.checkpoints[0].pin->reason, "in the paper");
  EXPECT_EQ(state.checkpoints[0].pin->created, kNow.wall);
  EXPECT_EQ(state.checkpoints[0].generation, 4);
  EXPECT_EQ(state.checkpoints[0].recipe, "abc");
  EXPECT_EQ(state.checkpoints[0].restored_job, "");
  EXPECT_FALSE(state.checkpoints[1].pin.has_value());
  EXPECT_EQ(state.checkpoints[1].restored_job, id);
  EXPECT_EQ(state.checkpoints[1].restored_step, 5);
  for (const Job& job : state.jobs) {
    EXPECT_EQ(ToJson(job), ToJson(core_.jobs().at(job.id)));
    if (job.id != id) {
      EXPECT_EQ(job.numbers.start_job, id);
      EXPECT_EQ(job.attempt->restore_job, id);
      continue;
    }
    EXPECT_EQ(job.numbers.keep.every, 30);
    EXPECT_EQ(job.numbers.keep.best, 4);
    EXPECT_EQ(job.numbers.keep_last_when_full, 1);
  }
  EXPECT_OK(Do(command::UnpinCheckpoint{name}).status);
  Open();
  state = store_->Load().value();
  for (const Checkpoint& checkpoint : state.checkpoints) EXPECT_FALSE(checkpoint.pin.has_value());
}

TEST_P(StoreTest, ChainsAndNewSpecsAreStored) {
  const std::string first = Do(Create("a")).job;
  command::CreateJob create = Create("b");
  create.job.numbers.after = {{first, true}};
  create.job.numbers.eval_job = first;
  const std::string second = Do(create).job;
  EXPECT_OK(Do(command::UpdateJob{first, 0, create.job.spec, "other", Create("a").job.numbers, ""})
                .status);
  Open();
  const StoredState state = store_->Load().value();
  for (const Job& job : state.jobs) {
    EXPECT_EQ(ToJson(job), ToJson(core_.jobs().at(job.id)));
    EXPECT_EQ(job.spec, core_.jobs().at(job.id).spec);
    if (job.id == second) EXPECT_EQ(job.numbers.after, create.job.numbers.after);
    if (job.id == first) EXPECT_EQ(job.spec, "other");
  }
}

TEST_P(StoreTest, SchedulesAndSweepsAreStored) {
  JobSchedule schedule;
  schedule.name = "nightly";
  schedule.cron = "0 3 * * *";
  schedule.spec = std::string("spec\0bytes", 10);
  schedule.overlap = Overlap::kReplace;
  EXPECT_OK(Do(command::CreateSchedule{schedule}).status);
  Do(command::ScheduleRan{"nightly", kNow.wall + absl::Hours(1), "job_1", "why"});
  schedule.name = "gone";
  EXPECT_OK(Do(command::CreateSchedule{schedule}).status);
  EXPECT_OK(Do(command::DeleteSchedule{"gone"}).status);
  Sweep sweep;
  sweep.name = "rates";
  sweep.definition = std::string("\0sweep", 6);
  sweep.trials = 3;
  sweep.parallel = 2;
  sweep.budget_device_seconds = 12.5;
  EXPECT_OK(Do(command::CreateSweep{sweep, "once", 7}).status);
  const std::string sweep_id = core_.sweeps().at("rates").id;
  command::CreateJob trial = Create("rates-1");
  trial.job.sweep = "rates";
  trial.trial = 1;
  const std::string job = Do(trial).job;
  Do(command::TrialRefused{"rates", sweep_id, 2, "no pool"});
  Open();
  StoredState state = store_->Load().value();
  ASSERT_EQ(state.schedules.size(), 1u);
  EXPECT_EQ(ToJson(state.schedules[0]), ToJson(core_.schedules().at("nightly")));
  EXPECT_EQ(state.schedules[0].spec, schedule.spec);
  EXPECT_EQ(state.schedules[0].last_message, "why");
  ASSERT_EQ(state.sweeps.size(), 1u);
  EXPECT_EQ(ToJson(state.sweeps[0]), ToJson(core_.sweeps().at("rates")));
  EXPECT_EQ(state.sweeps[0].definition, sweep.definition);
  ASSERT_EQ(state.sweeps[0].made.size(), 2u);
  EXPECT_EQ(state.sweeps[0].made[0].job, job);
  EXPECT_EQ(state.jobs.at(0).sweep, "rates");
  EXPECT_OK(Do(command::CancelSweep{"rates"}).status);
  Core again{CoreOptions{}};
  again.Load(store_->Load().value(), kNow);
  EXPECT_EQ(again.sweeps().at("rates").state, SweepState::kCancelled);
  EXPECT_EQ(again.jobs().at(job).reason, "SWEEP_CANCELLED");
  EXPECT_EQ(again.SweepCreatedBy("once"), "rates");
}

TEST(RecordJson, AScheduleWhoseTimesCannotBeReadIsRefused) {
  JobSchedule schedule;
  schedule.name = "nightly";
  schedule.cron = "0 3 * *";
  EXPECT_THAT(ScheduleFromJson(ToJson(schedule)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, "4 fields"));
}

// Written before there were pins.
TEST(RecordJson, AnOlderCheckpointHasNoPinAndNoLineage) {
  const auto read = CheckpointFromJson(
      R"({"job":"j","step":5,"attempt":1,"created_us":7,"files":[],"marked":true,"deleting":false})");
  ASSERT_OK(read);
  EXPECT_FALSE(read->pin.has_value());
  EXPECT_EQ(read->generation, 0);
  EXPECT_EQ(read->restored_job, "");
}

TEST_P(StoreTest, TokensAreStoredAndReplacedByName) {
  TokenRecord token{"ci",
                    "00ff",
                    "submitter",
                    "vision",
                    "cats",
                    kNow.wall,
                    kNow.wall + absl::Hours(1),
                    absl::InfinitePast(),
                    "bootstrap"};
  ASSERT_OK(store_->access().PutToken(token));
  ASSERT_OK(store_->access().PutToken({.name = "a", .digest = "11", .role = "viewer"}));
  token.revoked = kNow.wall;
  ASSERT_OK(store_->access().PutToken(token));
  Open();
  ASSERT_OK_AND_ASSIGN(const auto tokens, store_->access().Tokens());
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens[0].name, "a");
  EXPECT_EQ(tokens[0].revoked, absl::InfinitePast());
  EXPECT_EQ(tokens[1].name, "ci");
  EXPECT_EQ(tokens[1].digest, "00ff");
  EXPECT_EQ(tokens[1].role, "submitter");
  EXPECT_EQ(tokens[1].queue, "vision");
  EXPECT_EQ(tokens[1].pool, "cats");
  EXPECT_EQ(tokens[1].created, kNow.wall);
  EXPECT_EQ(tokens[1].expires, kNow.wall + absl::Hours(1));
  EXPECT_EQ(tokens[1].revoked, kNow.wall);
  EXPECT_EQ(tokens[1].creator, "bootstrap");
}

TEST_P(StoreTest, TheAuditIsReadByWhatIsAskedAndDropsWhatIsOld) {
  AccessStore& access = store_->access();
  const auto entry = [](int minute, const char* who, const char* method, const char* resource,
                        const char* request, const char* code) {
    return AuditRecord{
        0, kNow.wall + absl::Minutes(minute), who, method, resource, request, code, "", "ipv4:1"};
  };
  ASSERT_OK(access.AppendAudit({entry(0, "ann", "seer.v1.Jobs/CreateJob", "a", "r1", "OK"),
                                entry(1, "bob", "seer.v1.Jobs/CancelJob", "a", "", "OK")}));
  // A repetition did nothing; somebody else's, one that fails and one without an id are their own.
  ASSERT_OK(access.AppendAudit({entry(2, "ann", "seer.v1.Jobs/CreateJob", "a", "r1", "OK"),
                                entry(3, "bob", "seer.v1.Jobs/CreateJob", "a", "r1", "OK"),
                                entry(4, "ann", "seer.v1.Jobs/CreateJob", "a", "r1", "ABORTED"),
                                entry(5, "bob", "seer.v1.Jobs/CancelJob", "b", "", "OK")}));
  const auto minutes = [&](const AuditQuery& query) {
    std::vector<int64_t> found;
    const auto entries = access.Audit(query);
    EXPECT_OK(entries);
    for (const AuditRecord& e : *entries) found.push_back(absl::ToInt64Minutes(e.time - kNow.wall));
    return found;
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(minutes({}), ElementsAre(5, 4, 3, 1, 0));
  EXPECT_THAT(minutes({.principal = "ann"}), ElementsAre(4, 0));
  EXPECT_THAT(minutes({.method = "CancelJob"}), ElementsAre(5, 1));
  EXPECT_THAT(minutes({.method = "seer.v1.Jobs/CancelJob", .resource = "b"}), ElementsAre(5));
  EXPECT_THAT(minutes({.after = kNow.wall + absl::Minutes(3)}), ElementsAre(5, 4));
  EXPECT_THAT(minutes({.limit = 2}), ElementsAre(5, 4));
  ASSERT_OK_AND_ASSIGN(const auto page, access.Audit({.limit = 2}));
  EXPECT_THAT(minutes({.below = page.back().number}), ElementsAre(3, 1, 0));
  ASSERT_OK(access.DropAuditBefore(kNow.wall + absl::Minutes(3)));
  EXPECT_THAT(minutes({}), ElementsAre(5, 4, 3));
}

TEST_P(StoreTest, EventsAreNumberedWithoutGapsAndReadInPieces) {
  const std::string a = Do(Create("a")).job, b = Do(Create("b")).job;
  Hello();
  const std::vector<Event> all = store_->Events("", 0, 100).value();
  ASSERT_GE(all.size(), 6u);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].number, static_cast<int64_t>(i) + 1);
  const std::vector<Event> of_b = store_->Events(b, 0, 100).value();
  ASSERT_EQ(of_b.size(), 3u);
  EXPECT_EQ(of_b[1].from, "QUEUED");
  EXPECT_EQ(of_b[1].to, "STARTING");
  EXPECT_EQ(of_b[1].created, kNow.wall);
  const std::vector<Event> rest = store_->Events(b, of_b[0].number, 1).value();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].number, of_b[1].number);
}

TEST_P(StoreTest, WhatIsForgottenIsGoneAndNumbersAreNotUsedAgain) {
  Hello();
  const std::string a = Do(Create("a", "of-a")).job;
  Do(command::CancelJob{a, ""});
  Do(command::RankExited{"w", {1, "jobs/" + a, 0}, 137, "", ""});
  Sweep sweep;
  sweep.name = "rates";
  sweep.trials = 1;
  Do(command::CreateSweep{sweep, "of-rates", 1});
  Do(command::CancelSweep{"rates"});
  ASSERT_TRUE(Ended(core_.jobs().at(a).state));
  const int64_t last = core_.last_event();
  const Moment later{kNow.wall + absl::Hours(24 * 91), kNow.steady + absl::Hours(24 * 91)};
  const auto at_later = [&](const Command& command) {
    const Decision decision = core_.Step(command, later);
    EXPECT_OK(store_->Apply(decision.changes, core_));
    return decision;
  };
  EXPECT_THAT(at_later(command::Tick{}).effects.delete_history, ElementsAre(a));
  EXPECT_EQ(store_->Load()->jobs.size(), 1u) << "its logs may still be there";
  at_later(command::HistoryDeleted{a});
  Open();
  StoredState state = store_->Load().value();
  EXPECT_TRUE(state.jobs.empty());
  EXPECT_TRUE(state.requests.empty());
  EXPECT_TRUE(state.sweeps.empty());
  EXPECT_TRUE(store_->Events("", 0, 100)->empty());
  EXPECT_EQ(state.last_event, last);
  EXPECT_EQ(state.last_attempt, 1);
  Core again{CoreOptions{}};
  again.Load(std::move(state), later);
  const Decision made = again.Step(Create("b"), later);
  EXPECT_EQ(made.changes.events.at(0).number, last + 1);
}

TEST_P(StoreTest, OldEventsGoInBlocksAlsoAfterARestart) {
  Changes changes;
  std::vector<std::string> jobs;
  while (core_.last_event() < 3 * kEventBlock) {
    Decision made = core_.Step(Create(absl::StrCat("job", jobs.size())), kNow);
    jobs.push_back(made.reply.job);
    changes.Merge(std::move(made.changes));
    changes.Merge(core_.Step(command::CancelJob{jobs.back(), ""}, kNow).changes);
  }
  ASSERT_OK(store_->Apply(changes, core_));
  StoredState state = store_->Load().value();
  EXPECT_EQ(state.first_event, 1);
  ASSERT_EQ(state.event_marks.size(), 3u);
  EXPECT_EQ(state.event_marks[2].number, 3 * kEventBlock);
  EXPECT_EQ(state.event_marks[2].time, kNow.wall);
  Core again{CoreOptions{.keep_jobs = absl::Hours(24 * 365), .keep_events = absl::Hours(1)}};
  again.Load(std::move(state), kNow);
  EXPECT_OK(again.CheckEventsAfter(1));
  const Moment later{kNow.wall + absl::Hours(2), kNow.steady + absl::Hours(2)};
  const Decision decision = again.Step(command::Tick{}, later);
  EXPECT_EQ(again.first_event(), 3 * kEventBlock + 1);
  ASSERT_OK(store_->Apply(decision.changes, again));
  const std::vector<Event> left = store_->Events("", 0, 1000).value();
  EXPECT_EQ(static_cast<int64_t>(left.size()), core_.last_event() - 3 * kEventBlock);
  if (!left.empty()) EXPECT_EQ(left[0].number, 3 * kEventBlock + 1);
  EXPECT_EQ(store_->Load()->first_event, 3 * kEventBlock + 1);
  EXPECT_EQ(store_->Load()->jobs.size(), jobs.size());
  EXPECT_THAT(again.CheckEventsAfter(1),
              FailsWith(absl::StatusCode::kOutOfRange, reason::kOutOfRange, "up to number 768"));
  EXPECT_OK(again.CheckEventsAfter(0));
  EXPECT_OK(again.CheckEventsAfter(3 * kEventBlock));
}

TEST_P(StoreTest, QueuesAreStoredChangedAndRemoved) {
  Queue vision;
  vision.name = "vision";
  vision.quota = 8;
  vision.weight = 0.25;
  vision.max_preemptions_per_hour = 7;
  vision.preemption_grace = absl::Milliseconds(1500);
  Queue plain;
  plain.name = "plain";
  plain.borrow = 0;
  EXPECT_OK(Do(command::CreateQueue{vision}).status);
  EXPECT_OK(Do(command::CreateQueue{plain}).status);
  vision.borrow = 4;
  EXPECT_OK(Do(command::UpdateQueue{vision, 1}).status);
  vision.changes = 2;
  Open();
  StoredState state = store_->Load().value();
  ASSERT_EQ(state.queues.size(), 2u);
  std::sort(state.queues.begin(), state.queues.end(),
            [](const Queue& a, const Queue& b) { return a.name < b.name; });
  EXPECT_EQ(state.queues[0], plain);
  EXPECT_EQ(state.queues[1], vision);
  EXPECT_OK(Do(command::DeleteQueue{"vision", 2}).status);
  Open();
  ASSERT_EQ(store_->Load()->queues.size(), 1u);
  EXPECT_EQ(store_->Load()->queues[0].name, "plain");
}

TEST_P(StoreTest, GivesBackWhatAJobAndItsWorkersAreScheduledBy) {
  Worker worker;
  worker.name = "w";
  worker.devices = 2;
  worker.device_kind = "cuda";
  worker.labels = {{"rack", "7"}, {"gpu", "h100"}};
  worker.incarnation = "i";
  Do(command::WorkerHello{worker, {}});
  command::CreateJob low = Create("low"), high = Create("high");
  low.job.numbers.shape = {2, 2, "rack", {{"gpu", "h100"}}};
  low.job.numbers.stop_when_preempted = true;
  high.job.numbers.priority = 4;
  const std::string id = Do(low).job;
  const std::string taker = Do(high).job;
  Do(command::PauseJob{id, ""});
  Open();
  const StoredState state = store_->Load().value();
  ASSERT_EQ(state.workers.size(), 1u);
  EXPECT_EQ(state.workers[0].labels, worker.labels);
  const auto job =
      std::find_if(state.jobs.begin(), state.jobs.end(), [&](const Job& j) { return j.id == id; });
  ASSERT_NE(job, state.jobs.end());
  EXPECT_EQ(job->numbers.shape, low.job.numbers.shape);
  EXPECT_TRUE(job->numbers.stop_when_preempted);
  EXPECT_EQ(job->state, JobState::kPausing);
  EXPECT_EQ(job->attempt->preempted_for, taker);
  EXPECT_TRUE(job->attempt->pause_after);
  EXPECT_EQ(job->attempt->started, kNow.wall);
  ASSERT_EQ(job->preempted.size(), 1u);
  EXPECT_EQ(job->preempted[0], kNow.wall);
}

TEST_P(StoreTest, GivesBackWhatElasticGangsHoldAndKeep) {
  for (const char* name : {"v", "w"}) {
    Worker worker;
    worker.name = name;
    worker.devices = 2;
    worker.incarnation = "a";
    Do(command::WorkerHello{worker, {}});
  }
  command::CreateJob create = Create("elastic");
  create.job.numbers.shape = {2, 1, "", {}};
  create.job.numbers.smaller = {1};
  create.job.numbers.spares = 1;
  const std::string id = Do(create).job;
  Open();
  Job job = store_->Load()->jobs.at(0);
  EXPECT_EQ(job.numbers.smaller, create.job.numbers.smaller);
  EXPECT_EQ(job.numbers.spares, 1);
  ASSERT_TRUE(job.attempt);
  ASSERT_EQ(job.attempt->spares, std::vector<std::string>({"w"}));
  EXPECT_EQ(job.attempt->holds_since, job.attempt->id);
  EXPECT_FALSE(job.attempt->resizing);
  // A worker that both ranks were on goes wrong: the job keeps what it had until its back-off is
  // over.
  for (int rank : {0, 1})
    Do(command::RankExited{"v", {job.attempt->id, "jobs/" + id, rank}, 1, "", "of itself"});
  Open();
  job = store_->Load()->jobs.at(0);
  ASSERT_TRUE(job.kept);
  EXPECT_EQ(job.kept->workers, std::vector<std::string>({"v", "v", "w"}));
  EXPECT_EQ(job.kept->since, 1);
  EXPECT_EQ(job.kept->ranks, 2);
  EXPECT_EQ(job.resized, absl::InfinitePast());
}

TEST_P(StoreTest, GivesBackFailuresAndCordons) {
  for (const char* name : {"v", "w"}) {
    Worker worker;
    worker.name = name;
    worker.devices = 2;
    Do(command::WorkerHello{worker, {}});
  }
  const std::string id = Do(Create("failing")).job;
  const Job& job = core_.jobs().at(id);
  const std::string first = job.attempt->ranks[0].worker;
  command::RankExited exited{first, {job.attempt->id, "jobs/" + id, 0}, 128 + 9, "", "gone"};
  Do(exited);
  Open();
  StoredState state = store_->Load().value();
  if (job.attempt) {  // the others have not ended
    EXPECT_EQ(state.jobs[0].attempt->ranks[0].diagnosis.failure, FailureClass::kMachine);
    EXPECT_EQ(state.jobs[0].attempt->ranks[0].diagnosis.blame, Blame::kKnown);
    EXPECT_EQ(state.jobs[0].attempt->ranks[0].diagnosis.sign, "signal 9");
    EXPECT_EQ(state.jobs[0].attempt->ranks[0].exited, 1);
  }
  for (size_t i = 1; job.attempt && i < job.attempt->ranks.size(); ++i) {
    exited.worker = job.attempt->ranks[i].worker;
    exited.rank.rank = static_cast<int>(i);
    exited.prompted = true;
    Do(exited);
  }
  ASSERT_EQ(job.state, JobState::kRestarting);
  Do(command::CordonWorker{first, "loud", /*drain=*/true});
  Open();
  state = store_->Load().value();
  ASSERT_TRUE(state.jobs[0].failure);
  const Failure& failure = *state.jobs[0].failure;
  EXPECT_EQ(failure.failure, FailureClass::kMachine);
  EXPECT_EQ(failure.sign, "signal 9");
  EXPECT_EQ(failure.message, job.failure->message);
  EXPECT_EQ(failure.attempt, 1);
  EXPECT_EQ(failure.rank, 0);
  EXPECT_EQ(failure.worker, first);
  EXPECT_EQ(failure.time, kNow.wall);
  EXPECT_EQ(state.jobs[0].avoided, job.avoided);
  EXPECT_EQ(state.jobs[0].avoided.size(), 1u);
  EXPECT_EQ(state.jobs[0].same_class, 1);
  const auto worker = std::find_if(state.workers.begin(), state.workers.end(),
                                   [&](const Worker& w) { return w.name == first; });
  ASSERT_NE(worker, state.workers.end());
  ASSERT_TRUE(worker->cordon);
  EXPECT_EQ(worker->cordon->reason, "loud");
  EXPECT_TRUE(worker->cordon->draining);
  EXPECT_FALSE(worker->cordon->automatic);
  EXPECT_EQ(worker->cordon->time, kNow.wall);
  ASSERT_EQ(worker->faults.size(), 1u);
  EXPECT_EQ(worker->faults[0].failure, FailureClass::kMachine);
  EXPECT_EQ(worker->faults[0].job, id);
  EXPECT_EQ(worker->faults[0].attempt, 1);
}

// As after a commit whose answer was lost.
TEST_P(StoreTest, TheSameChangesAgainComeToTheSame) {
  Hello();
  const Decision decision = core_.Step(Create("a", "request-1"), kNow);
  ASSERT_FALSE(decision.changes.events.empty());
  ASSERT_FALSE(decision.changes.requests.empty());
  ASSERT_OK(store_->Apply(decision.changes, core_));
  const StoredState before = store_->Load().value();
  const size_t events = store_->Events("", 0, 100)->size();
  ASSERT_OK(store_->Apply(decision.changes, core_));
  const StoredState after = store_->Load().value();
  EXPECT_EQ(after.jobs.size(), before.jobs.size());
  EXPECT_EQ(after.requests, before.requests);
  EXPECT_EQ(after.last_event, before.last_event);
  EXPECT_EQ(store_->Events("", 0, 100)->size(), events);
}

INSTANTIATE_TEST_SUITE_P(All, StoreTest, ::testing::Values("memory", "sqlite", "postgres"),
                         [](const auto& info) { return info.param; });

TEST(SqliteStore, ASecondOneIsRefusedUntilTheFirstIsGone) {
  TempDir dir;
  auto first = OpenSqliteStore(dir / "c.db");
  ASSERT_OK(first);
  EXPECT_THAT(OpenSqliteStore(dir / "c.db"),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kDatabaseLocked,
                        "another coordinator"));
  first->reset();
  EXPECT_OK(OpenSqliteStore(dir / "c.db"));
}

// A list of a million rows, in the order of their numbers, each once.
TEST(SqliteStore, AMillionEventsAreReadInPages) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto store, OpenSqliteStore(dir / "c.db"));
  const Core core{CoreOptions{}};
  constexpr int64_t kEvents = 1'000'000, kAtOnce = 20'000;
  for (int64_t number = 1; number <= kEvents;) {
    Changes changes;
    for (int64_t i = 0; i < kAtOnce; ++i, ++number) {
      Event event;
      event.number = number;
      event.created = kNow.wall;
      event.job = number % 100 == 0 ? "job_other" : "job_long";
      event.type = "step";
      changes.events.push_back(std::move(event));
    }
    ASSERT_OK(store->Apply(changes, core));
  }
  int64_t seen = 0;
  for (int64_t after = 0; true;) {
    ASSERT_OK_AND_ASSIGN(const std::vector<Event> page, store->Events("job_long", after, 10'000));
    if (page.empty()) break;
    for (const Event& event : page) {
      ASSERT_GT(event.number, after);
      ASSERT_EQ(event.job, "job_long");
      after = event.number;
      ++seen;
    }
  }
  EXPECT_EQ(seen, kEvents - kEvents / 100);
}

// Of the version before there were queues.
TEST(SqliteStore, AnOlderSchemaIsMigratedAndItsJobsAreInTheDefaultQueue) {
  TempDir dir;
  const std::string path = dir / "c.db";
  {
    auto store = OpenSqliteStore(path);
    ASSERT_OK(store);
    Core core{CoreOptions{}};
    command::CreateJob create;
    create.job.name = "old";
    create.request_id = "repeated";
    create.job.numbers.shape.ranks = 2;
    const Decision decision = core.Step(create, kNow);
    ASSERT_OK((*store)->Apply(decision.changes, core));
  }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(db,
                   "DROP TABLE queues; DROP TABLE schedules; DROP TABLE sweeps; DROP TABLE tokens; "
                   "DROP TABLE audit; ALTER TABLE requests DROP COLUMN time_us; PRAGMA "
                   "user_version = 1; UPDATE jobs SET record = "
                   "json_remove(record, '$.numbers.queue', '$.numbers.priority', "
                   "'$.numbers.within', '$.numbers.selector', '$.numbers.stop_when_preempted', "
                   "'$.preemptions', '$.preempted_us')",
                   nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(db);
  auto store = OpenSqliteStore(path);
  ASSERT_OK(store);
  StoredState state = (*store)->Load().value();
  EXPECT_TRUE(state.queues.empty());
  ASSERT_EQ(state.requests.size(), 1u);
  EXPECT_EQ(state.requests[0].id, "create/repeated");
  EXPECT_EQ(state.requests[0].time, kNow.wall) << "of the newest event";
  ASSERT_EQ(state.jobs.size(), 1u);
  EXPECT_EQ(state.jobs[0].numbers.queue, kDefaultQueue);
  EXPECT_EQ(state.jobs[0].numbers.shape.ranks, 2);
  Core core{CoreOptions{}};
  core.Load(std::move(state), kNow);
  EXPECT_EQ(core.UseOf(kDefaultQueue).waiting, 1);
}

TEST(SqliteStore, AFileThatIsNoDatabaseIsRefusedAndLeftAsItWas) {
  TempDir dir;
  const std::string bytes(5000, '\x42');
  std::ofstream(dir / "c.db", std::ios::binary) << bytes;
  EXPECT_THAT(OpenSqliteStore(dir / "c.db"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, "c.db"));
  std::ifstream file(dir / "c.db", std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), bytes);
}

TEST(SqliteStore, ADamagedPageIsFound) {
  TempDir dir;
  const std::string path = dir / "c.db";
  {
    auto store = OpenSqliteStore(path);
    ASSERT_OK(store);
    Core core{CoreOptions{}};
    for (int i = 0; i < 50; ++i) {
      command::CreateJob create;
      create.job.name = absl::StrCat("job", i);
      create.job.spec = std::string(3000, 's');
      create.id_seed = static_cast<uint64_t>(i);
      const Decision decision = core.Step(create, kNow);
      ASSERT_OK((*store)->Apply(decision.changes, core));
    }
  }
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    for (int page = 4; page < 30; ++page) {
      file.seekp(page * 4096);
      file << std::string(512, '\xff');
    }
  }
  EXPECT_THAT(OpenSqliteStore(path),
              FailsWith(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, "c.db"));
}

TEST(SqliteStore, ANewerSchemaIsRefused) {
  TempDir dir;
  { ASSERT_OK(OpenSqliteStore(dir / "c.db")); }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((dir / "c.db").c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  EXPECT_THAT(OpenSqliteStore(dir / "c.db"), FailsWith(absl::StatusCode::kFailedPrecondition,
                                                       reason::kDatabaseTooNew, "schema 99"));
}

TEST(SqliteStore, ACommitThatCannotBeMadeChangesNothing) {
  TempDir dir;
  auto store = OpenSqliteStore(dir / "c.db");
  ASSERT_OK(store);
  Core core{CoreOptions{}};
  command::CreateJob create;
  create.job.name = "a";
  create.request_id = "r";
  const Decision decision = core.Step(create, kNow);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((dir / "c.db").c_str(), &db), SQLITE_OK);
  const auto run = [&](const char* sql) {
    ASSERT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  };
  run("ALTER TABLE requests RENAME TO elsewhere");  // written last
  EXPECT_THAT((*store)->Apply(decision.changes, core),
              FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, "requests"));
  run("ALTER TABLE elsewhere RENAME TO requests");
  sqlite3_close(db);
  EXPECT_TRUE((*store)->Load()->jobs.empty());
  EXPECT_TRUE((*store)->Events("", 0, 10)->empty());
  EXPECT_OK((*store)->Apply(decision.changes, core));
  EXPECT_EQ((*store)->Load()->jobs.size(), 1u);
}

TEST(SqliteStore, AUrlOfAnotherKindIsRefused) {
  EXPECT_THAT(OpenDatabase("mysql://host/db"),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                        "neither a path nor a postgresql:// URL"));
}

TEST(SqliteStore, AFolderThatCannotBeMadeIsNamed) {
  EXPECT_THAT(OpenSqliteStore("/proc/nowhere/c.db"),
              FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, "/proc/nowhere"));
}

TEST(RecordJson, NonsenseIsCorruption) {
  EXPECT_THAT(JobFromJson("{\"id\": 3"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, "job"));
  EXPECT_THAT(CheckpointFromJson("{}"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, "checkpoint"));
}

// A state that is not one would be used as an index, a missing attempt as if it were there.
TEST(RecordJson, AnOlderJobHasNoTraceAndAnOlderReaderPassesItsOver) {
  Job job;
  job.id = "job_a";
  job.numbers.shape.ranks = 1;
  job.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  nlohmann::json record = nlohmann::json::parse(ToJson(job));
  record["of_a_later_version"] = true;  // what readers do not know they leave
  EXPECT_EQ(JobFromJson(record.dump())->traceparent, job.traceparent);
  record.erase("traceparent");
  EXPECT_EQ(JobFromJson(record.dump())->traceparent, "");
}

// Of a coordinator that took reports which were no numbers.
TEST(RecordJson, ALedgerWithNumbersThatAreNoneCountsThemAsNothing) {
  Job job;
  job.id = "job_a";
  job.numbers.shape.ranks = 1;
  nlohmann::json record = nlohmann::json::parse(ToJson(job));
  record["ledger"]["shares"][1] = 12.5;
  for (const char* key : {"train_seconds", "data_wait_seconds", "checkpoint_seconds"})
    record["ledger"][key] = nullptr;
  record["ledger"]["shares"][0] = nullptr;
  const auto read = JobFromJson(record.dump());
  ASSERT_OK(read);
  EXPECT_EQ(read->ledger.record().shares[0], 0);
  EXPECT_EQ(read->ledger.record().shares[1], 12.5);
  EXPECT_EQ(read->ledger.record().last.train_seconds, 0);
}

TEST(RecordJson, StatesThatCannotBeAreCorruption) {
  Job job;
  job.id = "job_a";
  job.state = JobState::kQueued;
  ASSERT_OK(JobFromJson(ToJson(job)));
  for (int state : {0, -1, 10, 99}) {
    job.state = static_cast<JobState>(state);
    EXPECT_THAT(JobFromJson(ToJson(job)),
                FailsWith(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, "no state"));
  }
  job.state = JobState::kRunning;
  EXPECT_THAT(JobFromJson(ToJson(job)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, "attempt"));
  job.attempt.emplace();
  job.attempt->ranks.emplace_back();
  ASSERT_OK(JobFromJson(ToJson(job)));
  job.attempt->ranks[0].state = static_cast<RankState>(7);
  EXPECT_THAT(JobFromJson(ToJson(job)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, "no state"));
}

}  // namespace
}  // namespace seer::coordinator
