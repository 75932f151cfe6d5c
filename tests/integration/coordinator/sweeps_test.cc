// Sweeps over real gRPC and SQLite, with trials whose ranks the test plays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/sweeps.grpc.pb.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using internal::v1::Assign;

class SweepsTest : public ::testing::Test {
 protected:
  SweepsTest() { Dial(); }
  void Dial() {
    stub_ = v1::Sweeps::NewStub(grpc::CreateChannel(absl::StrCat("127.0.0.1:", cluster_.port()),
                                                    grpc::InsecureChannelCredentials()));
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Sweeps::Stub::*method)(grpc::ClientContext*,
                                                                         const Request&, Response*),
                                const Request& request) {
    return CallStub(*stub_, method, request);
  }
  static v1::Sweep Rates(int parallel) {
    v1::Sweep sweep;
    sweep.set_name("sweeps/rates");
    *sweep.mutable_spec() = SmallSpec("", 1);
    sweep.set_parallel(parallel);
    auto* const parameter = sweep.add_parameters();
    parameter->set_field("optim.lr");
    for (const char* value : {"0.1", "0.2", "0.3"}) parameter->add_values(value);
    return sweep;
  }
  absl::StatusOr<v1::Sweep> Create(const v1::Sweep& sweep, const std::string& request_id = "") {
    v1::CreateSweepRequest request;
    *request.mutable_sweep() = sweep;
    request.set_request_id(request_id);
    return Call(&v1::Sweeps::Stub::CreateSweep, request);
  }
  absl::StatusOr<v1::Sweep> Get() {
    v1::GetSweepRequest request;
    request.set_name("rates");
    return Call(&v1::Sweeps::Stub::GetSweep, request);
  }
  v1::Sweep WaitFor(v1::SweepState state) {
    EXPECT_TRUE(Eventually([&] { return Get()->state() == state; })) << Get()->DebugString();
    return *Get();
  }

  Cluster cluster_;
  std::unique_ptr<v1::Sweeps::Stub> stub_;
};

TEST_F(SweepsTest, MakesItsTrialsAFewAtATimeAndEndsWithTheLast) {
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 4});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  ASSERT_OK_AND_ASSIGN(const v1::Sweep made, Create(Rates(2), "once"));
  EXPECT_EQ(made.state(), v1::SWEEP_STATE_RUNNING);
  EXPECT_EQ(made.trials(), 3);
  const Assign first = agent.NextAssign(), second = agent.NextAssign();
  ASSERT_OK_AND_ASSIGN(const v1::Sweep again, Create(Rates(2), "once"));
  EXPECT_EQ(again.results_size(), 2) << "the same request makes it once, and two run at a time";
  EXPECT_THAT(Create(Rates(2)),
              FailsWith(StatusCode::kAlreadyExists, reason::kSweepExists, "has not ended"));
  const v1::SweepTrial& trial = again.results(0);
  EXPECT_EQ(trial.number(), 1);
  EXPECT_EQ(trial.values().at("optim.lr"), "0.1");
  EXPECT_EQ(trial.job(), first.job());
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster_.Get("rates-2"));
  EXPECT_EQ(job.name(), second.job());
  EXPECT_EQ(job.sweep(), "sweeps/rates");
  EXPECT_EQ(job.spec().optim().lr(), 0.2);

  EXPECT_OK(cluster_.Progress(first, 7));
  agent.Exited(first, 0);
  const Assign third = agent.NextAssign();
  agent.Exited(second, 0);
  agent.Exited(third, 0);
  const v1::Sweep done = WaitFor(v1::SWEEP_STATE_DONE);
  ASSERT_EQ(done.results_size(), 3);
  EXPECT_EQ(done.results(0).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(done.results(0).loss(), 5.5);
  EXPECT_GT(done.used_device_seconds(), 0);
  EXPECT_TRUE(done.has_end_time());
  EXPECT_OK(Create(Rates(1))) << "its name is free again";
}

TEST_F(SweepsTest, GoesOnAfterARestartWithoutMakingATrialTwice) {
  ASSERT_OK(Create(Rates(2)));
  ASSERT_TRUE(Eventually([&] { return Get()->results_size() == 2; }));
  cluster_.Restart();
  Dial();
  EXPECT_EQ(Get()->results_size(), 2);
  ASSERT_OK(cluster_.Cancel("rates-1"));
  ASSERT_TRUE(Eventually([&] { return Get()->results_size() == 3; }));
  grpc::ClientContext context;
  v1::ListJobsResponse jobs;
  ASSERT_OK(FromGrpc(cluster_.jobs->ListJobs(&context, {}, &jobs)));
  EXPECT_EQ(jobs.jobs_size(), 3);
}

TEST_F(SweepsTest, EndsWhenItsBudgetIsUsedUp) {
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 1});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  v1::Sweep sweep = Rates(3);
  sweep.set_budget_device_seconds(0.5);
  ASSERT_OK(Create(sweep));
  const Assign running = agent.NextAssign();
  EXPECT_TRUE(agent.NextStop().kill());
  agent.Exited(running, 128 + 9);
  const v1::Sweep exhausted = WaitFor(v1::SWEEP_STATE_EXHAUSTED);
  EXPECT_THAT(exhausted.state_message(), ::testing::HasSubstr("device-seconds are used up"));
  const v1::Job job = cluster_.WaitFor(running.job(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(job.state_reason(), "BUDGET_EXHAUSTED");
  const v1::Sweep ended = *Get();
  for (const v1::SweepTrial& trial : ended.results())
    EXPECT_EQ(trial.state(), v1::JOB_STATE_CANCELLED) << trial.number();
}

TEST_F(SweepsTest, IsCancelledWithItsJobs) {
  ASSERT_OK(Create(Rates(2)));
  ASSERT_TRUE(Eventually([&] { return Get()->results_size() == 2; }));
  v1::CancelSweepRequest cancel;
  cancel.set_name("rates");
  ASSERT_OK_AND_ASSIGN(const v1::Sweep cancelled, Call(&v1::Sweeps::Stub::CancelSweep, cancel));
  EXPECT_EQ(cancelled.state(), v1::SWEEP_STATE_CANCELLED);
  EXPECT_EQ(cancelled.results_size(), 2);
  EXPECT_EQ(cluster_.Get("rates-2")->state_reason(), "SWEEP_CANCELLED");
  EXPECT_OK(Call(&v1::Sweeps::Stub::CancelSweep, cancel)) << "repeating it changes nothing";
  cancel.set_name("nobody");
  EXPECT_THAT(Call(&v1::Sweeps::Stub::CancelSweep, cancel),
              FailsWith(StatusCode::kNotFound, reason::kSweepNotFound, "nobody"));
}

TEST_F(SweepsTest, RefusesWhatItsFirstTrialCannotBe) {
  v1::Sweep sweep = Rates(2);
  sweep.mutable_spec()->mutable_data()->set_pool("nowhere");
  EXPECT_THAT(Create(sweep), FailsWith(StatusCode::kNotFound, reason::kPoolNotFound, "nowhere"));
  sweep = Rates(2);
  sweep.mutable_spec()->mutable_scheduling()->set_queue("nowhere");
  EXPECT_THAT(Create(sweep), FailsWith(StatusCode::kNotFound, reason::kQueueNotFound, "nowhere"));
  sweep = Rates(2);
  sweep.mutable_parameters(0)->set_values(2, "-1");
  EXPECT_THAT(Create(sweep),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "trial 3 with"));
  EXPECT_THAT(Get(), FailsWith(StatusCode::kNotFound, reason::kSweepNotFound, "rates"));
}

}  // namespace
}  // namespace seer::testing
