// The coordinator over real gRPC, SQLite and files, with agents and trainers played by the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/base/trainer_exit.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/pool_lookup.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using internal::v1::Assign;

std::vector<std::string> StateChanges(const std::vector<v1::Event>& events) {
  std::vector<std::string> changes;
  for (const v1::Event& event : events) {
    if (event.type() == "job_state_changed")
      changes.push_back(event.from_state() + ">" + event.to_state());
  }
  return changes;
}

internal::v1::RunningRank Running(const Assign& assign) {
  internal::v1::RunningRank rank;
  rank.set_attempt_id(assign.attempt_id());
  rank.set_job(assign.job());
  rank.set_rank(assign.rank());
  return rank;
}

TEST(Coordinator, CarriesAJobFromCreationToSuccess) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  ASSERT_OK_AND_ASSIGN(const v1::Job created, cluster.Create(SmallSpec("first")));
  EXPECT_THAT(created.name(), ::testing::MatchesRegex("jobs/job_[0-9a-f]{8}"));
  ASSERT_EQ(created.data_plan_size(), 1);
  EXPECT_EQ(created.data_plan(0).generation(), 3);
  EXPECT_EQ(created.spec().optim().momentum(), 0.9);  // a default was filled in

  const Assign rank0 = agent.NextAssign(), rank1 = agent.NextAssign();
  EXPECT_EQ(rank0.rank(), 0);
  EXPECT_EQ(rank1.rank(), 1);
  EXPECT_EQ(rank0.world_size(), 2);
  EXPECT_EQ(rank0.attempt_id(), rank1.attempt_id());
  EXPECT_EQ(rank0.attempt(), 1);
  EXPECT_EQ(rank0.store_host(), "127.0.0.1");
  EXPECT_GE(rank0.store_port(), 20000);
  EXPECT_LT(rank0.store_port(), 30000);
  EXPECT_EQ(rank0.ranks_on_machine(), 2);
  EXPECT_EQ(rank0.restore_uri(), "");
  EXPECT_EQ(rank0.dataservice_addresses_size(), 1);
  v1::JobSpec spec;
  ASSERT_TRUE(spec.ParseFromString(rank0.spec()));
  EXPECT_EQ(spec.optim().steps(), 20);

  agent.Started(rank0);
  agent.Started(rank1);
  cluster.WaitFor("first", v1::JOB_STATE_RUNNING);
  EXPECT_THAT(*cluster.Progress(rank0, 7), false);
  const v1::Job running = *cluster.Get("first");
  EXPECT_EQ(running.progress().step(), 7);
  EXPECT_EQ(running.progress().total_steps(), 20);
  EXPECT_EQ(running.first_loss(), 6.5);
  EXPECT_EQ(running.data_stall_ratio(), 0.25);
  EXPECT_EQ(running.ranks_size(), 2);
  EXPECT_EQ(running.ranks(1).worker(), "workers/w1");

  EXPECT_EQ(*cluster.Checkpoint(rank0, 20), false);
  EXPECT_EQ((*cluster.Get("first")).last_checkpoint_step(), 0)
      << "visible before all ranks had reported";
  EXPECT_EQ(*cluster.Checkpoint(rank1, 20), true);
  EXPECT_EQ(*cluster.Checkpoint(rank0, 20), true) << "repeating tells that it is committed";
  agent.Exited(rank0, 0);
  agent.Exited(rank1, 0);
  const v1::Job done = cluster.WaitFor("first", v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(done.last_checkpoint_step(), 20);
  EXPECT_TRUE(done.has_end_time());
  EXPECT_EQ(done.ranks_size(), 0);
  EXPECT_THAT(StateChanges(cluster.Events("first")),
              ::testing::ElementsAre("QUEUED>STARTING", "STARTING>RUNNING", "RUNNING>SUCCEEDED"));
  // The file COMMITTED follows the record.
  const std::string folder =
      absl::StrCat(cluster.dir() / "storage", "/", created.name().substr(5), "/checkpoints/20");
  EXPECT_TRUE(Eventually([&] { return std::filesystem::exists(folder + "/COMMITTED"); }));
}

TEST(Coordinator, AWorkerWhoseLeaseRanOutRestartsTheGangFromItsNewestCheckpoint) {
  Cluster cluster;
  auto lost = std::make_unique<FakeAgent>(cluster.port(), FakeAgent::Options{"a-lost", 1, "x", {}});
  FakeAgent stays(cluster.port(), {"b-stays", 1, "x", {}});
  ASSERT_OK(cluster.Create(SmallSpec("shaken")));
  const Assign rank0 = lost->NextAssign(), rank1 = stays.NextAssign();
  EXPECT_OK(cluster.Progress(rank0, 10));
  EXPECT_OK(cluster.Checkpoint(rank0, 10));
  EXPECT_EQ(*cluster.Checkpoint(rank1, 10), true);
  lost->HangUp();
  const internal::v1::Stop stop = stays.NextStop();
  EXPECT_EQ(stop.attempt_id(), rank1.attempt_id());
  EXPECT_TRUE(stop.kill());
  stays.Exited(rank1, 128 + 9);
  const v1::Job waiting = cluster.WaitFor("shaken", v1::JOB_STATE_RESTARTING);
  EXPECT_EQ(waiting.state_reason(), "LEASE_LOST");
  EXPECT_THAT(waiting.state_message(), ::testing::HasSubstr("step 10"));

  FakeAgent fresh(cluster.port(), {"c-fresh", 1, "x", {}});
  const Assign again0 = stays.NextAssign(), again1 = fresh.NextAssign();
  EXPECT_GT(again0.attempt_id(), rank0.attempt_id());
  EXPECT_NE(again0.store_port(), rank0.store_port());
  EXPECT_EQ(again0.attempt(), 2);
  EXPECT_EQ(again0.restore_step(), 10);
  EXPECT_THAT(again0.restore_uri(), ::testing::EndsWith("/checkpoints/10"));
  EXPECT_EQ(again0.rank() + again1.rank(), 1);

  // What the old attempt still says is refused.
  EXPECT_THAT(cluster.Progress(rank0, 11), FailsWith(StatusCode::kFailedPrecondition,
                                                     reason::kStaleAttempt, "not the live one"));
  EXPECT_THAT(cluster.Checkpoint(rank1, 20),
              FailsWith(StatusCode::kFailedPrecondition, reason::kStaleAttempt, ""));
  EXPECT_EQ(*cluster.Progress(again0, 11), false);
}

TEST(Coordinator, PausesAtACheckpointAndResumesThere) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  ASSERT_OK(cluster.Create(SmallSpec("pausable", 1)));
  const Assign rank = agent.NextAssign();
  EXPECT_EQ(*cluster.Progress(rank, 4), false);
  ASSERT_OK_AND_ASSIGN(const v1::Job pausing, cluster.Pause("pausable"));
  EXPECT_EQ(pausing.state(), v1::JOB_STATE_PAUSING);
  EXPECT_OK(cluster.Pause("pausable"));
  EXPECT_FALSE(agent.NextStop().kill());
  EXPECT_EQ(*cluster.Progress(rank, 5), true);
  EXPECT_THAT(cluster.Resume("pausable"),
              FailsWith(StatusCode::kFailedPrecondition, reason::kWrongJobState, "PAUSING"));
  EXPECT_EQ(*cluster.Checkpoint(rank, 5), true);
  agent.Exited(rank, kExitPaused);
  cluster.WaitFor("pausable", v1::JOB_STATE_PAUSED);
  ASSERT_OK(cluster.Resume("pausable"));
  const Assign again = agent.NextAssign();
  EXPECT_EQ(again.restore_step(), 5);
  EXPECT_EQ(again.attempt(), 2);
  ASSERT_OK(cluster.Cancel("pausable"));
  EXPECT_TRUE(agent.NextStop().kill());
  agent.Exited(again, 128 + 9);
  cluster.WaitFor("pausable", v1::JOB_STATE_CANCELLED);
  EXPECT_OK(cluster.Cancel("pausable"));
  EXPECT_THAT(cluster.Pause("pausable"),
              FailsWith(StatusCode::kFailedPrecondition, reason::kWrongJobState, "CANCELLED"));
}

TEST(Coordinator, StartedAgainItLosesNothingAndTheGangTrainsOn) {
  Cluster cluster;
  auto agent = std::make_unique<FakeAgent>(cluster.port(), FakeAgent::Options{});
  ASSERT_OK_AND_ASSIGN(const v1::Job created,
                       cluster.Create(SmallSpec("steady", 1), "the-request"));
  const Assign rank = agent->NextAssign();
  EXPECT_OK(cluster.Progress(rank, 10));
  EXPECT_EQ(*cluster.Checkpoint(rank, 10), true);
  const size_t events = cluster.Events("steady").size();
  agent->HangUp();
  cluster.Restart();

  const v1::Job kept = *cluster.Get("steady");
  EXPECT_EQ(kept.name(), created.name());
  EXPECT_EQ(kept.state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(kept.last_checkpoint_step(), 10);
  EXPECT_EQ(kept.progress().step(), 10);
  EXPECT_EQ(cluster.Events("steady").size(), events);
  EXPECT_EQ((*cluster.Create(SmallSpec("steady", 1), "the-request")).name(), created.name());

  // The trainer talks to it before the agent is back, and nothing was taken away from it.
  EXPECT_EQ(*cluster.Progress(rank, 15), false);
  FakeAgent back(cluster.port(), {"w1", 2, "first", {Running(rank)}});
  EXPECT_EQ(*cluster.Checkpoint(rank, 20), true);
  back.Exited(rank, 0);
  EXPECT_EQ(cluster.WaitFor("steady", v1::JOB_STATE_SUCCEEDED).attempt(), 1);
}

TEST(Coordinator, AGangWhoseAgentDoesNotComeBackAfterARestartStartsAnew) {
  Cluster cluster;
  auto agent = std::make_unique<FakeAgent>(cluster.port(), FakeAgent::Options{});
  ASSERT_OK(cluster.Create(SmallSpec("orphan", 1)));
  agent->NextAssign();
  agent->HangUp();
  cluster.Restart();
  FakeAgent other(cluster.port(), {"other", 1, "x", {}});
  const Assign again = other.NextAssign();
  EXPECT_EQ(again.attempt(), 2);
  EXPECT_EQ((*cluster.Get("orphan")).attempt(), 2);
}

TEST(Coordinator, AnAgentThatWasStartedAgainHasLostItsRanks) {
  Cluster cluster;
  auto agent = std::make_unique<FakeAgent>(cluster.port(), FakeAgent::Options{});
  ASSERT_OK(cluster.Create(SmallSpec("reborn", 1)));
  const Assign rank = agent->NextAssign();
  agent->HangUp();
  FakeAgent again(cluster.port(), {"w1", 2, "second", {}});
  EXPECT_GT(again.NextAssign().attempt_id(), rank.attempt_id());
}

TEST(Coordinator, RanksOfAGangThatWasGivenUpAreKilledWhenTheirAgentComesBack) {
  Cluster cluster;
  internal::v1::RunningRank stray;
  stray.set_attempt_id(77);
  stray.set_job("jobs/job_00000000");
  FakeAgent agent(cluster.port(), {"w1", 2, "first", {stray}});
  const internal::v1::Stop stop = agent.NextStop();
  EXPECT_EQ(stop.attempt_id(), 77);
  EXPECT_TRUE(stop.kill());
}

TEST(Coordinator, ASecondAgentOfTheSameNameTakesOver) {
  Cluster cluster;
  FakeAgent first(cluster.port(), {"w1", 1, "a", {}});
  ASSERT_OK(cluster.Create(SmallSpec("taken", 1)));
  first.NextAssign();
  FakeAgent second(cluster.port(), {"w1", 1, "b", {}});
  EXPECT_TRUE(first.closed());
  second.NextAssign();
}

TEST(Coordinator, AnUserErrorIsNotTriedAgainAndACrashIsUntilItsLimit) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  ASSERT_OK(cluster.Create(SmallSpec("hopeless", 1)));
  agent.Exited(agent.NextAssign(), kExitUserError, "INVALID_SPEC", "no such preset");
  const v1::Job failed = cluster.WaitFor("hopeless", v1::JOB_STATE_FAILED);
  EXPECT_EQ(failed.state_reason(), "INVALID_SPEC");
  EXPECT_THAT(failed.state_message(), ::testing::HasSubstr("no such preset"));

  v1::JobSpec spec = SmallSpec("crashing", 1);
  spec.mutable_failure()->set_max_restarts(1);
  ASSERT_OK(cluster.Create(spec));
  agent.Exited(agent.NextAssign(), kExitOutOfMemory, "OUT_OF_MEMORY", "8 GiB wanted");
  agent.Exited(agent.NextAssign(), kExitOutOfMemory, "OUT_OF_MEMORY", "8 GiB wanted");
  const v1::Job exhausted = cluster.WaitFor("crashing", v1::JOB_STATE_FAILED);
  EXPECT_EQ(exhausted.state_reason(), "RETRIES_EXHAUSTED");
  EXPECT_EQ(exhausted.attempt(), 2);
}

TEST(Coordinator, AGangWithoutProgressIsStartedAnew) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  v1::JobSpec spec = SmallSpec("hanging", 1);
  spec.mutable_failure()->mutable_no_progress_timeout()->set_nanos(500'000'000);
  ASSERT_OK(cluster.Create(spec));
  const Assign rank = agent.NextAssign();
  EXPECT_OK(cluster.Progress(rank, 1));
  EXPECT_TRUE(agent.NextStop().kill());
  agent.Exited(rank, 128 + 9);
  EXPECT_EQ(cluster.WaitFor("hanging", v1::JOB_STATE_RESTARTING).state_reason(), "NO_PROGRESS");
}

TEST(Coordinator, TheQueuesStartEpochBecomesAStep) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  ASSERT_TRUE(cluster.WaitForWorkers(1));
  v1::JobSpec spec = SmallSpec("epochs", 1);
  spec.mutable_data()->set_pool("cats");  // 100 images
  spec.mutable_data()->set_global_batch(8);
  spec.mutable_loss()->mutable_swav()->set_queue_length(16);
  spec.mutable_loss()->mutable_swav()->set_queue_start_epoch(1.5);
  const auto job = cluster.Create(spec);
  ASSERT_OK(job);
  EXPECT_EQ(job->spec().loss().swav().queue_start_step(), 19);  // of 1.5 x 12.5
}

TEST(Coordinator, RefusesWhatCannotWork) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  ASSERT_TRUE(cluster.WaitForWorkers(1));
  ASSERT_OK(cluster.Create(SmallSpec("probe", 1)));
  EXPECT_THAT(cluster.Create(SmallSpec("wide", 4)),
              FailsWith(StatusCode::kFailedPrecondition, reason::kNotEnoughDevices,
                        "wants 4 ranks, but all workers together have 2"));
  v1::JobSpec spec = SmallSpec("lost");
  spec.mutable_data()->set_pool("nowhere");
  EXPECT_THAT(cluster.Create(spec),
              FailsWith(StatusCode::kNotFound, reason::kPoolNotFound, "nowhere"));
  spec.mutable_data()->set_pool("empty");
  EXPECT_THAT(cluster.Create(spec),
              FailsWith(StatusCode::kFailedPrecondition, reason::kPoolEmpty, "no images"));
  spec.mutable_data()->set_pool("cats");
  spec.mutable_data()->set_generation(9);
  EXPECT_THAT(cluster.Create(spec),
              FailsWith(StatusCode::kNotFound, reason::kGenerationNotFound, "9"));
  spec.mutable_optim()->set_steps(-5);
  EXPECT_THAT(cluster.Create(spec),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "optim.steps"));
  EXPECT_THAT(cluster.Create(SmallSpec("probe", 1)),
              FailsWith(StatusCode::kAlreadyExists, reason::kJobNameTaken, "probe"));
  EXPECT_THAT(cluster.Get("jobs/job_ffffffff"),
              FailsWith(StatusCode::kNotFound, reason::kJobNotFound, "job_ffffffff"));
  v1::JobSpec eval;
  eval.set_kind(v1::JOB_KIND_EVAL_KNN);
  eval.mutable_eval()->set_train_pool("cats");
  eval.mutable_eval()->set_test_pool("digits");
  EXPECT_THAT(cluster.Create(eval),
              FailsWith(StatusCode::kFailedPrecondition, reason::kNoLabels, "cats"));
  eval.mutable_eval()->set_checkpoint("jobs/probe/checkpoints/5");
  EXPECT_THAT(cluster.Create(eval), FailsWith(StatusCode::kNotFound, reason::kCheckpointNotFound,
                                              "jobs/probe/checkpoints/5"));
}

TEST(Coordinator, AnEvaluationUsesTheNetworkOfItsCheckpointAndKeepsItsResult) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  v1::JobSpec spec = SmallSpec("trained", 1);
  spec.mutable_model()->mutable_trunk()->set_preset("regnety_400mf");
  ASSERT_OK(cluster.Create(spec));
  const Assign rank = agent.NextAssign();
  EXPECT_EQ(*cluster.Checkpoint(rank, 20), true);
  agent.Exited(rank, 0);
  cluster.WaitFor("trained", v1::JOB_STATE_SUCCEEDED);
  v1::JobSpec eval;
  eval.set_kind(v1::JOB_KIND_EVAL_KNN);
  eval.mutable_eval()->set_checkpoint("jobs/trained/checkpoints/20");
  eval.mutable_eval()->set_train_pool("digits");
  eval.mutable_eval()->set_test_pool("digits");
  ASSERT_OK_AND_ASSIGN(const v1::Job created, cluster.Create(eval));
  EXPECT_EQ(created.spec().model().trunk().preset(), "regnety_400mf");
  const Assign judge = agent.NextAssign();
  EXPECT_THAT(judge.eval_checkpoint_uri(), ::testing::EndsWith("/checkpoints/20"));
  internal::v1::ReportEvalRequest report;
  report.set_attempt_id(judge.attempt_id());
  report.set_job(judge.job());
  report.add_knn()->set_top1_ratio(0.75);
  internal::v1::ReportEvalResponse response;
  grpc::ClientContext context;
  EXPECT_OK(FromGrpc(cluster.trainers->ReportEval(&context, report, &response)));
  agent.Exited(judge, 0);
  const v1::Job done = cluster.WaitFor(created.name(), v1::JOB_STATE_SUCCEEDED);
  ASSERT_EQ(done.eval_result().knn_size(), 1);
  EXPECT_EQ(done.eval_result().knn(0).top1_ratio(), 0.75);
}

TEST(Coordinator, ARepeatedRequestMakesNoSecondJob) {
  Cluster cluster;
  ASSERT_OK_AND_ASSIGN(const v1::Job first, cluster.Create(SmallSpec("once"), "r-1"));
  ASSERT_OK_AND_ASSIGN(const v1::Job again, cluster.Create(SmallSpec("once"), "r-1"));
  EXPECT_EQ(first.name(), again.name());
  v1::ListJobsRequest request;
  v1::ListJobsResponse response;
  grpc::ClientContext context;
  ASSERT_OK(FromGrpc(cluster.jobs->ListJobs(&context, request, &response)));
  EXPECT_EQ(response.jobs_size(), 1);
  EXPECT_THAT(again.state_message(), ::testing::HasSubstr("none has registered"));
}

TEST(Coordinator, ListsInPagesNewestFirst) {
  Cluster cluster;
  for (int i = 0; i < 5; ++i) ASSERT_OK(cluster.Create(SmallSpec(absl::StrCat("n", i))));
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::vector<std::string> names;
  do {
    v1::ListJobsResponse response;
    grpc::ClientContext context;
    ASSERT_OK(FromGrpc(cluster.jobs->ListJobs(&context, request, &response)));
    EXPECT_LE(response.jobs_size(), 2);
    for (const v1::Job& job : response.jobs()) names.push_back(job.spec().metadata().name());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ::testing::ElementsAre("n4", "n3", "n2", "n1", "n0"));
  request.set_page_token("nonsense");
  v1::ListJobsResponse response;
  grpc::ClientContext context;
  EXPECT_THAT(FromGrpc(cluster.jobs->ListJobs(&context, request, &response)),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidPageToken, ""));
}

TEST(Coordinator, RetentionKeepsTheNewestAndVerificationFindsABadFile) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster.Create(SmallSpec("kept", 1)));
  const Assign rank = agent.NextAssign();
  for (int step : {5, 10, 15}) EXPECT_EQ(*cluster.Checkpoint(rank, step), true);
  v1::ListCheckpointsRequest list;
  list.set_parent("jobs/kept");
  v1::ListCheckpointsResponse found;
  {
    grpc::ClientContext context;
    ASSERT_OK(FromGrpc(cluster.checkpoints->ListCheckpoints(&context, list, &found)));
  }
  ASSERT_EQ(found.checkpoints_size(), 2);
  EXPECT_EQ(found.checkpoints(0).step(), 15);
  EXPECT_EQ(found.checkpoints(1).step(), 10);
  const std::string folder =
      absl::StrCat(cluster.dir() / "storage", "/", job.name().substr(5), "/checkpoints/");
  EXPECT_TRUE(
      Eventually([&] { return !std::filesystem::exists(folder + "5/rank-0.safetensors"); }));

  const auto verify = [&](const std::string& name) {
    v1::VerifyCheckpointRequest request;
    request.set_name(name);
    v1::Checkpoint out;
    grpc::ClientContext context;
    return FromGrpc(cluster.checkpoints->VerifyCheckpoint(&context, request, &out));
  };
  EXPECT_OK(verify("jobs/kept/checkpoints/15"));
  std::fstream(folder + "15/rank-0.safetensors", std::ios::in | std::ios::out).put('X');
  EXPECT_THAT(verify("jobs/kept/checkpoints/15"),
              FailsWith(StatusCode::kDataLoss, reason::kCheckpointCorrupt, "rank-0.safetensors"));
  std::filesystem::remove(folder + "10/rank-0.safetensors");
  EXPECT_THAT(verify("jobs/kept/checkpoints/10"),
              FailsWith(StatusCode::kDataLoss, reason::kCheckpointCorrupt, "missing"));
  EXPECT_THAT(verify("jobs/kept/checkpoints/5"),
              FailsWith(StatusCode::kNotFound, reason::kCheckpointNotFound, ""));
}

TEST(Coordinator, LogsAreKeptFollowedAndSurviveARestart) {
  Cluster cluster;
  auto agent = std::make_unique<FakeAgent>(cluster.port(), FakeAgent::Options{});
  ASSERT_OK(cluster.Create(SmallSpec("chatty", 1)));
  const Assign rank = agent->NextAssign();
  for (int i = 0; i < 3; ++i) agent->Log(rank, absl::StrCat("line ", i));
  agent->Exited(rank, kExitUserError, "INVALID_SPEC", "");
  const std::vector<v1::LogLine> lines = cluster.Logs("chatty", /*follow=*/true);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[2].text(), "line 2");
  EXPECT_EQ(lines[2].attempt(), 1);
  EXPECT_EQ(lines[2].time().seconds(), 1'700'000'000);
  agent->HangUp();
  cluster.Restart();
  const std::vector<v1::LogLine> tail = cluster.Logs("chatty", /*follow=*/false, /*tail=*/2);
  ASSERT_EQ(tail.size(), 2u);
  EXPECT_EQ(tail[0].text(), "line 1");
}

TEST(Coordinator, WorkersAreListedWithWhatTheyHold) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {});
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster.Create(SmallSpec("holder", 1)));
  agent.NextAssign();
  v1::ListWorkersResponse response;
  grpc::ClientContext context;
  ASSERT_OK(FromGrpc(cluster.workers->ListWorkers(&context, {}, &response)));
  ASSERT_EQ(response.workers_size(), 1);
  EXPECT_EQ(response.workers(0).name(), "workers/w1");
  EXPECT_EQ(response.workers(0).state(), v1::WORKER_STATE_UP);
  EXPECT_EQ(response.workers(0).devices(), 2);
  EXPECT_EQ(response.workers(0).devices_in_use(), 1);
  EXPECT_THAT(response.workers(0).jobs(), ::testing::ElementsAre(job.name()));
  v1::GetWorkerRequest request;
  request.set_name("workers/nobody");
  v1::Worker worker;
  grpc::ClientContext other;
  EXPECT_THAT(FromGrpc(cluster.workers->GetWorker(&other, request, &worker)),
              FailsWith(StatusCode::kNotFound, reason::kWorkerNotFound, "nobody"));
}

TEST(Coordinator, ASecondOneOnTheSameDatabaseIsRefusedAndTheFirstGoesOn) {
  Cluster cluster;
  EXPECT_THAT(
      coordinator::CoordinatorServer::Start(cluster.Config()),
      FailsWith(StatusCode::kFailedPrecondition, reason::kDatabaseLocked, "another coordinator"));
  EXPECT_OK(cluster.Create(SmallSpec("alive")));
}

TEST(Coordinator, APortInUseIsNamed) {
  Cluster cluster;
  TempDir other;
  coordinator::ServerConfig config = cluster.Config();
  config.database = other / "other.db";
  config.listen = absl::StrCat("127.0.0.1:", cluster.port());
  EXPECT_THAT(
      coordinator::CoordinatorServer::Start(config),
      FailsWith(StatusCode::kAlreadyExists, reason::kPortInUse, absl::StrCat(cluster.port())));
}

TEST(Coordinator, ACorruptDatabaseIsRefused) {
  Cluster cluster;
  ASSERT_OK(cluster.Create(SmallSpec("precious")));
  cluster.Stop();
  std::ofstream(cluster.Config().database, std::ios::binary) << std::string(8192, 'z');
  EXPECT_THAT(coordinator::CoordinatorServer::Start(cluster.Config()),
              FailsWith(StatusCode::kDataLoss, reason::kDatabaseCorrupt, "coordinator.db"));
}

}  // namespace
}  // namespace seer::testing
