// Failures over real gRPC: whose fault they were and what followed, workers that are cordoned by
// the coordinator, by request and over restarts, and a drain from the notice to the other worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/trainer_exit.h"
#include "common/http/http_client.h"
#include "common/rpc/status_grpc.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using internal::v1::Assign;
using internal::v1::RankReport;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FaultsTest : public ::testing::Test {
 protected:
  // A call of the service, as an absl status.
  template <typename Request>
  absl::StatusOr<v1::Worker> Call(grpc::Status (v1::Workers::Stub::*method)(grpc::ClientContext*,
                                                                            const Request&,
                                                                            v1::Worker*),
                                  const std::string& name, const std::string& reason = "") {
    grpc::ClientContext context;
    Request request;
    request.set_name(name);
    if constexpr (requires { request.set_reason(reason); }) request.set_reason(reason);
    v1::Worker worker;
    const absl::Status status =
        FromGrpc((cluster_.workers.get()->*method)(&context, request, &worker));
    if (!status.ok()) return status;
    return worker;
  }
  absl::StatusOr<v1::Worker> Get(const std::string& name) {
    return Call(&v1::Workers::Stub::GetWorker, name);
  }
  absl::StatusOr<v1::Worker> Cordon(const std::string& name, const std::string& reason) {
    return Call(&v1::Workers::Stub::CordonWorker, name, reason);
  }
  absl::StatusOr<v1::Worker> Uncordon(const std::string& name) {
    return Call(&v1::Workers::Stub::UncordonWorker, name);
  }
  absl::StatusOr<v1::Worker> Drain(const std::string& name, const std::string& reason) {
    return Call(&v1::Workers::Stub::DrainWorker, name, reason);
  }
  absl::StatusOr<std::string> Metrics() {
    HttpRequest request;
    request.url = absl::StrCat("http://127.0.0.1:", cluster_.metrics_port(), "/metrics");
    SEER_ASSIGN_OR_RETURN(const HttpResponse response, HttpClient().Do(request));
    return response.body;
  }
  static RankReport Killed() {
    RankReport report;
    report.set_exit_code(128 + 9);
    report.set_prompted(false);
    return report;
  }

  Cluster cluster_;
};

TEST_F(FaultsTest, AFailureSaysItsClassItsSignAndTheNextStep) {
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 1});
  ASSERT_OK(cluster_.Create(SmallSpec("greedy", 1)));
  RankReport report;
  report.set_exit_code(128 + 6);
  report.add_last_lines("terminate called after throwing an instance of 'c10::Error'");
  report.add_last_lines("  what():  CUDA error: out of memory");
  agent.Exited(agent.NextAssign(), report);
  const Assign second = agent.NextAssign();
  v1::Job job = *cluster_.Get("greedy");
  EXPECT_EQ(job.last_failure().failure_class(), v1::FAILURE_CLASS_OUT_OF_MEMORY);
  EXPECT_EQ(job.last_failure().sign(), "log: CUDA error: out of memory");
  EXPECT_EQ(job.last_failure().worker(), "workers/w1");
  EXPECT_EQ(job.last_failure().rank(), 0);
  EXPECT_EQ(job.last_failure().attempt(), 1);
  EXPECT_THAT(job.last_failure().next_step(), HasSubstr("memory.budgetBytes"));
  EXPECT_THAT(job.last_failure().message(), HasSubstr("rank 0 on w1 was killed by signal 6"));
  EXPECT_THAT(job.avoided_workers(), ElementsAre("workers/w1")) << "there was no other";
  report.Clear();
  report.set_exit_code(128 + 9);
  report.set_oom_killed(true);
  agent.Exited(second, report);
  agent.Exited(agent.NextAssign(), kExitOutOfMemory, "OUT_OF_MEMORY");
  job = cluster_.WaitFor("greedy", v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.state_reason(), reason::kRetriesExhausted);
  EXPECT_THAT(job.state_message(), HasSubstr("3 times in a row without a new checkpoint"));
  EXPECT_EQ(job.last_failure().attempt(), 3);
  EXPECT_TRUE(job.avoided_workers().empty());
  ASSERT_OK_AND_ASSIGN(const std::string metrics, Metrics());
  EXPECT_THAT(metrics, HasSubstr("seer_job_failures_total{class=\"out_of_memory\"} 3"));
  EXPECT_THAT(metrics, HasSubstr("seer_job_restarts_total{class=\"out_of_memory\"} 2"));
}

// Heartbeats are answered while the database cannot be written; an end that is only in memory is
// not the agent's to forget.
TEST_F(FaultsTest, AnExitIsConfirmedWhenItIsOnDisk) {
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 1});
  ASSERT_OK(cluster_.Create(SmallSpec("done", 1)));
  const Assign assign = agent.NextAssign();
  ASSERT_OK(cluster_.Progress(assign, 20));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((cluster_.dir() / "state/coordinator.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  agent.Exited(assign, kExitDone);
  const int64_t before = agent.acks();
  // Longer than the database waits for the lock: a commit has failed meanwhile.
  EXPECT_TRUE(Eventually([&] {
    const auto metrics = Metrics();
    return metrics.ok() && absl::StrContains(*metrics, "seer_database_commit_failures_total 1");
  }));
  EXPECT_TRUE(Eventually([&] { return agent.acks() > before; }));
  EXPECT_EQ(agent.exits_known(), 0);
  ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  EXPECT_TRUE(Eventually([&] { return agent.exits_known() == 1; }));
  cluster_.Restart();
  EXPECT_EQ(cluster_.Get("done")->state(), v1::JOB_STATE_SUCCEEDED);
}

// One that no trainer sends would be in the job's sums, and in the database, for ever.
TEST_F(FaultsTest, SecondsThatAreNoNumberAreRefused) {
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 1});
  ASSERT_OK(cluster_.Create(SmallSpec("odd", 1)));
  const Assign assign = agent.NextAssign();
  internal::v1::ReportProgressRequest report;
  report.set_attempt_id(assign.attempt_id());
  report.set_job(assign.job());
  report.set_step(1);
  const auto refused = [&](const char* field) {
    EXPECT_THAT(CallStub(*cluster_.trainers, &internal::v1::Trainers::Stub::ReportProgress, report),
                FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, field));
  };
  report.set_train_seconds(std::nan(""));
  refused("train_seconds is nan");
  report.set_train_seconds(1);
  report.set_data_wait_seconds(std::numeric_limits<double>::infinity());
  refused("data_wait_seconds is inf");
  report.set_data_wait_seconds(-1);
  refused("data_wait_seconds is -1");
  report.set_data_wait_seconds(0);
  report.set_loss(std::nan(""));  // is news
  EXPECT_OK(CallStub(*cluster_.trainers, &internal::v1::Trainers::Stub::ReportProgress, report));
  cluster_.Restart();
  EXPECT_OK(cluster_.Get("odd"));
}

TEST_F(FaultsTest, AFaultOfAGpuIsTheMachinesOwn) {
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 1});
  ASSERT_OK(cluster_.Create(SmallSpec("unlucky", 1)));
  RankReport report;
  report.set_exit_code(kExitInternal);
  report.add_last_lines("CUDA error: an illegal memory access was encountered");
  report.set_device_fault("Xid 94: contained ECC error");
  agent.Exited(agent.NextAssign(), report);
  (void)agent.NextAssign();
  const v1::Job job = *cluster_.Get("unlucky");
  EXPECT_EQ(job.last_failure().failure_class(), v1::FAILURE_CLASS_DEVICE);
  EXPECT_EQ(job.last_failure().sign(), "Xid 94: contained ECC error");
  EXPECT_THAT(job.avoided_workers(), ElementsAre("workers/w1"));
  ASSERT_OK_AND_ASSIGN(const v1::Worker worker, Get("w1"));
  ASSERT_EQ(worker.faults_size(), 1);
  EXPECT_EQ(worker.faults(0).failure_class(), v1::FAILURE_CLASS_DEVICE);
}

TEST_F(FaultsTest, AWorkerWithRepeatedFaultsIsCordonedAndStaysSoOverARestart) {
  {
    FakeAgent bad(cluster_.port(), {.name = "a-bad", .devices = 1});
    ASSERT_TRUE(cluster_.WaitForWorkers(1));
    FakeAgent good(cluster_.port(), {.name = "b-good", .devices = 2});
    ASSERT_TRUE(cluster_.WaitForWorkers(2));
    ASSERT_OK(cluster_.Create(SmallSpec("filler", 2)));  // fits nowhere else
    for (int i = 0; i < 2; ++i) (void)good.NextAssign();
    // Of three jobs, one failure each.
    for (const char* name : {"one", "two", "three"}) {
      ASSERT_OK(cluster_.Create(SmallSpec(name, 1)));
      bad.Exited(bad.NextAssign(), Killed());
      ASSERT_TRUE(Eventually([&] { return cluster_.Get(name)->has_last_failure(); }));
      ASSERT_OK(cluster_.Pause(name));
    }
    ASSERT_OK_AND_ASSIGN(const v1::Worker worker, Get("a-bad"));
    ASSERT_TRUE(worker.has_cordon());
    EXPECT_TRUE(worker.cordon().automatic());
    EXPECT_THAT(worker.cordon().reason(), HasSubstr("3 failures within 1h"));
    ASSERT_EQ(worker.faults_size(), 3);
    EXPECT_EQ(worker.faults(0).failure_class(), v1::FAILURE_CLASS_MACHINE);
    EXPECT_EQ(worker.faults(0).job(), cluster_.Get("one")->name());
    EXPECT_EQ(worker.faults(0).attempt(), 1);
    ASSERT_OK(cluster_.Resume("one"));
    const v1::Job waiting = *cluster_.Get("one");
    EXPECT_EQ(waiting.wait().reason(), "devices");
    EXPECT_THAT(waiting.wait().message(), HasSubstr("cordoned: a-bad"));
    EXPECT_TRUE(Eventually([&] {
      const auto metrics = Metrics();
      return metrics.ok() &&
             absl::StrContains(*metrics, "seer_worker_cordoned{worker=\"a-bad\"} 1");
    }));
  }
  cluster_.Restart();
  FakeAgent bad(cluster_.port(), {.name = "a-bad", .devices = 1, .incarnation = "second"});
  ASSERT_TRUE(Eventually([&] { return Get("a-bad")->state() == v1::WORKER_STATE_UP; }));
  EXPECT_TRUE(Get("a-bad")->has_cordon()) << "it was not stored, or a hello lifted it";
  ASSERT_OK_AND_ASSIGN(const v1::Worker freed, Uncordon("workers/a-bad"));
  EXPECT_FALSE(freed.has_cordon());
  EXPECT_EQ(freed.faults_size(), 0);
  EXPECT_EQ(bad.NextAssign().job(), cluster_.Get("one")->name());
}

TEST_F(FaultsTest, CordoningRefusesWhatMakesNoSense) {
  EXPECT_THAT(Cordon("nobody", "loud"),
              FailsWith(StatusCode::kNotFound, reason::kWorkerNotFound, "nobody"));
  EXPECT_THAT(Uncordon("nobody"),
              FailsWith(StatusCode::kNotFound, reason::kWorkerNotFound, "nobody"));
  EXPECT_THAT(Drain("nobody", ""),
              FailsWith(StatusCode::kNotFound, reason::kWorkerNotFound, "nobody"));
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 1});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  EXPECT_THAT(Cordon("w1", std::string(501, 'x')),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "501 bytes"));
  EXPECT_FALSE(Get("w1")->has_cordon());
  ASSERT_OK_AND_ASSIGN(v1::Worker worker, Cordon("w1", "fan is loud"));
  EXPECT_EQ(worker.cordon().reason(), "fan is loud");
  EXPECT_FALSE(worker.cordon().automatic());
  ASSERT_OK_AND_ASSIGN(worker, Cordon("w1", ""));
  EXPECT_EQ(worker.cordon().reason(), "fan is loud") << "said again without a reason";
  ASSERT_OK(Uncordon("w1"));
  ASSERT_OK(Uncordon("w1"));
}

TEST_F(FaultsTest, ADrainedGangGoesOnElsewhereFromItsCheckpoint) {
  FakeAgent first(cluster_.port(), {.name = "a", .devices = 2});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  v1::JobSpec spec = SmallSpec("moved", 2);
  spec.mutable_failure()->set_max_restarts(0);
  spec.mutable_scheduling()->set_on_preemption(v1::PREEMPTION_POLICY_STOP);
  ASSERT_OK(cluster_.Create(spec));
  const Assign rank0 = first.NextAssign(), rank1 = first.NextAssign();
  FakeAgent second(cluster_.port(), {.name = "b", .devices = 2});
  ASSERT_TRUE(cluster_.WaitForWorkers(2));
  EXPECT_EQ(*cluster_.Progress(rank0, 7), false);
  ASSERT_OK_AND_ASSIGN(const v1::Worker drained, Drain("a", "new driver"));
  EXPECT_TRUE(drained.cordon().draining());
  EXPECT_EQ(drained.devices_in_use(), 2);
  const internal::v1::Stop stop = first.NextStop();
  EXPECT_EQ(stop.attempt_id(), rank0.attempt_id());
  EXPECT_FALSE(stop.kill());
  EXPECT_EQ(*cluster_.Progress(rank0, 8), true) << "the ranks are asked to checkpoint and stop";
  EXPECT_EQ(cluster_.Get("moved")->state_reason(), reason::kWorkerDrained);
  EXPECT_EQ(*cluster_.Checkpoint(rank0, 8), false);
  EXPECT_EQ(*cluster_.Checkpoint(rank1, 8), true);
  first.Exited(rank0, kExitPaused);
  first.Exited(rank1, kExitPaused);
  const Assign again = second.NextAssign();
  EXPECT_EQ(again.job(), rank0.job());
  EXPECT_EQ(again.restore_step(), 8);
  EXPECT_EQ(Get("a")->devices_in_use(), 0);
  const v1::Job job = *cluster_.Get("moved");
  EXPECT_EQ(job.preemptions(), 0) << "no other job took its devices";
  EXPECT_FALSE(job.has_last_failure());
}

}  // namespace
}  // namespace seer::testing
