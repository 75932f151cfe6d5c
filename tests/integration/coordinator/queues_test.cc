// Queues over real gRPC: what they refuse, what plans and waiting jobs say, and a preemption from
// the notice to the same job's next attempt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/trainer_exit.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/queues.grpc.pb.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using internal::v1::Assign;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class QueuesTest : public ::testing::Test {
 protected:
  QueuesTest()
      : stub_(v1::Queues::NewStub(grpc::CreateChannel(absl::StrCat("127.0.0.1:", cluster_.port()),
                                                      grpc::InsecureChannelCredentials()))) {}
  // A call of the service, as an absl status.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Queues::Stub::*method)(grpc::ClientContext*,
                                                                         const Request&, Response*),
                                const Request& request) {
    return CallStub(*stub_, method, request);
  }
  absl::StatusOr<v1::Queue> Create(const std::string& name, int64_t quota, int64_t borrow) {
    v1::CreateQueueRequest request;
    request.mutable_queue()->set_name("queues/" + name);
    request.mutable_queue()->set_quota_devices(quota);
    request.mutable_queue()->set_borrow_devices(borrow);
    return Call(&v1::Queues::Stub::CreateQueue, request);
  }
  absl::StatusOr<v1::Queue> Get(const std::string& name) {
    v1::GetQueueRequest request;
    request.set_name(name);
    return Call(&v1::Queues::Stub::GetQueue, request);
  }
  absl::StatusOr<v1::Queue> Update(const v1::Queue& queue, const std::vector<std::string>& fields) {
    v1::UpdateQueueRequest request;
    *request.mutable_queue() = queue;
    for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
    return Call(&v1::Queues::Stub::UpdateQueue, request);
  }
  absl::StatusOr<v1::Queue> Delete(const std::string& name, const std::string& etag = "") {
    v1::DeleteQueueRequest request;
    request.set_name(name);
    request.set_etag(etag);
    return Call(&v1::Queues::Stub::DeleteQueue, request);
  }
  absl::StatusOr<v1::PlanJobResponse> Plan(const v1::JobSpec& spec) {
    grpc::ClientContext context;
    v1::PlanJobRequest request;
    *request.mutable_spec() = spec;
    v1::PlanJobResponse response;
    const absl::Status status = FromGrpc(cluster_.jobs->PlanJob(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  static v1::JobSpec In(const std::string& queue, const std::string& name, int ranks,
                        int priority = 0) {
    v1::JobSpec spec = SmallSpec(name, ranks);
    spec.mutable_scheduling()->set_queue(queue);
    spec.mutable_scheduling()->set_priority(priority);
    return spec;
  }

  Cluster cluster_;
  std::unique_ptr<v1::Queues::Stub> stub_;
};

TEST_F(QueuesTest, TheDefaultQueueIsAlwaysThere) {
  ASSERT_OK_AND_ASSIGN(const v1::Queue queue, Get("default"));
  EXPECT_EQ(queue.name(), "queues/default");
  EXPECT_FALSE(queue.has_quota_devices());
  EXPECT_EQ(queue.weight(), 1);
  EXPECT_EQ(queue.max_preemptions_per_hour(), 2);
  EXPECT_EQ(queue.preemption_grace().seconds(), 300);
  EXPECT_THAT(Delete("default"),
              FailsWith(StatusCode::kFailedPrecondition, reason::kQueueInUse, "always there"));
}

TEST_F(QueuesTest, AreMadeListedChangedAndDeleted) {
  ASSERT_OK_AND_ASSIGN(const v1::Queue made, Create("vision", 2, 1));
  EXPECT_EQ(made.quota_devices(), 2);
  EXPECT_THAT(Create("vision", 2, 1),
              FailsWith(StatusCode::kAlreadyExists, reason::kQueueExists, "vision"));
  EXPECT_THAT(Create("Vision", 2, 1),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "Vision"));
  EXPECT_THAT(Create("odd", -2, 1),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "quota"));
  v1::ListQueuesRequest list;
  list.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(const v1::ListQueuesResponse first,
                       Call(&v1::Queues::Stub::ListQueues, list));
  ASSERT_EQ(first.queues_size(), 1);
  EXPECT_EQ(first.queues(0).name(), "queues/default");
  list.set_page_token(first.next_page_token());
  ASSERT_OK_AND_ASSIGN(const v1::ListQueuesResponse second,
                       Call(&v1::Queues::Stub::ListQueues, list));
  EXPECT_EQ(second.queues(0).name(), "queues/vision");
  EXPECT_EQ(second.next_page_token(), "");

  v1::Queue change;
  change.set_name("vision");
  change.set_weight(3);
  change.set_etag(made.etag());
  ASSERT_OK_AND_ASSIGN(const v1::Queue changed, Update(change, {"weight", "borrow_devices"}));
  EXPECT_EQ(changed.weight(), 3);
  EXPECT_EQ(changed.quota_devices(), 2) << "what is not named stays";
  EXPECT_FALSE(changed.has_borrow_devices()) << "what is named and unset has no limit";
  EXPECT_THAT(Update(change, {"weight"}),
              FailsWith(StatusCode::kAborted, reason::kEtagMismatch, "meanwhile"));
  change.set_etag("");
  EXPECT_THAT(Update(change, {}),
              FailsWith(StatusCode::kInvalidArgument, reason::kMissingField, "nothing"));
  EXPECT_THAT(Update(change, {"devices_in_use"}),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "devices_in_use"));
  change.set_weight(-1);
  EXPECT_THAT(Update(change, {"weight"}),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "weight"));
  EXPECT_THAT(Delete("vision", made.etag()),
              FailsWith(StatusCode::kAborted, reason::kEtagMismatch, ""));

  cluster_.Restart();
  stub_ = v1::Queues::NewStub(grpc::CreateChannel(absl::StrCat("127.0.0.1:", cluster_.port()),
                                                  grpc::InsecureChannelCredentials()));
  EXPECT_EQ(Get("vision")->weight(), 3) << "it was not stored";
  EXPECT_OK(Delete("vision", changed.etag()));
  EXPECT_THAT(Get("vision"), FailsWith(StatusCode::kNotFound, reason::kQueueNotFound, "vision"));
}

TEST_F(QueuesTest, JobsSayWhyTheyWaitAndPlansWhenTheyWouldStart) {
  ASSERT_OK(Create("vision", 2, 0));
  EXPECT_THAT(cluster_.Create(In("nowhere", "lost", 1)),
              FailsWith(StatusCode::kNotFound, reason::kQueueNotFound, "nowhere"));
  EXPECT_THAT(cluster_.Create(In("vision", "huge", 4)),
              FailsWith(StatusCode::kInvalidArgument, reason::kQueueLimit, "more than 2"));
  EXPECT_THAT(Plan(In("vision", "huge", 4)),
              FailsWith(StatusCode::kInvalidArgument, reason::kQueueLimit, "more than 2"));

  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 4});
  ASSERT_TRUE(cluster_.WaitForWorkers(1));
  ASSERT_OK_AND_ASSIGN(v1::PlanJobResponse plan, Plan(In("vision", "first", 2)));
  EXPECT_EQ(plan.wait().reason(), "");
  EXPECT_TRUE(plan.wait().has_estimated_start_time());
  ASSERT_EQ(plan.ranks_size(), 2);
  EXPECT_EQ(plan.ranks(1).rank(), 1);
  EXPECT_EQ(plan.ranks(1).worker(), "workers/w1");

  ASSERT_OK(cluster_.Create(In("vision", "first", 2)));
  const Assign rank0 = agent.NextAssign(), rank1 = agent.NextAssign();
  ASSERT_OK_AND_ASSIGN(plan, Plan(In("vision", "second", 1)));
  EXPECT_EQ(plan.wait().reason(), "quota");
  EXPECT_EQ(plan.ranks_size(), 0);
  EXPECT_FALSE(plan.wait().has_estimated_start_time()) << "it has not reported its pace";
  EXPECT_OK(cluster_.Progress(rank0, 7));
  ASSERT_OK_AND_ASSIGN(const v1::Job waits, cluster_.Create(In("vision", "second", 1)));
  ASSERT_OK_AND_ASSIGN(const v1::Job described, cluster_.Get(waits.name()));
  EXPECT_EQ(described.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(described.wait().reason(), "quota");
  EXPECT_THAT(described.state_message(), HasSubstr("waits for 1 device in queue vision: 2 of its"));
  EXPECT_TRUE(described.wait().has_estimated_start_time());
  EXPECT_THAT(Delete("vision"),
              FailsWith(StatusCode::kFailedPrecondition, reason::kQueueInUse, "2 jobs"));
  const v1::Queue queue = *Get("vision");
  EXPECT_EQ(queue.devices_in_use(), 2);
  EXPECT_EQ(queue.jobs_running(), 1);
  EXPECT_EQ(queue.jobs_waiting(), 1);

  v1::JobSpec choosy = SmallSpec("choosy", 1);
  (*choosy.mutable_scheduling()->mutable_worker_selector())["gpu"] = "h100";
  ASSERT_OK_AND_ASSIGN(plan, Plan(choosy));
  EXPECT_EQ(plan.wait().reason(), "labels");
  EXPECT_EQ(plan.wait().message(), "no machine has label gpu=h100");
  (*choosy.mutable_scheduling()->mutable_worker_selector())["gpu"] = "h 100";
  EXPECT_THAT(Plan(choosy), FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "gpu"));
}

TEST_F(QueuesTest, LabelsOfAgentsPlaceGangs) {
  FakeAgent plain(cluster_.port(), {.name = "a", .devices = 2});
  FakeAgent rack(cluster_.port(), {.name = "b", .devices = 2, .labels = {{"rack", "7"}}});
  ASSERT_TRUE(cluster_.WaitForWorkers(2));
  v1::JobSpec spec = SmallSpec("racked", 2);
  (*spec.mutable_scheduling()->mutable_worker_selector())["rack"] = "7";
  ASSERT_OK(cluster_.Create(spec));
  EXPECT_EQ(rack.NextAssign().rank(), 0);
  grpc::ClientContext context;
  v1::GetWorkerRequest request;
  request.set_name("b");
  v1::Worker worker;
  ASSERT_OK(FromGrpc(cluster_.workers->GetWorker(&context, request, &worker)));
  EXPECT_EQ(worker.labels().at("rack"), "7");
  EXPECT_EQ(worker.labels().at("device"), "cpu");
  FakeAgent bad(cluster_.port(), {.name = "c", .labels = {{"device", "tpu"}}});
  EXPECT_TRUE(Eventually([&] { return bad.closed(); }));
}

TEST_F(QueuesTest, AHigherPriorityIsGivenDevicesAfterACheckpoint) {
  v1::Queue grace;
  grace.set_name("default");
  grace.mutable_preemption_grace()->set_seconds(17);
  ASSERT_OK(Update(grace, {"preemption_grace"}));
  FakeAgent agent(cluster_.port(), {.name = "w1", .devices = 2});
  v1::JobSpec low = SmallSpec("low", 2);
  low.mutable_failure()->set_max_restarts(0);
  ASSERT_OK(cluster_.Create(low));
  const Assign low0 = agent.NextAssign(), low1 = agent.NextAssign();
  EXPECT_EQ(*cluster_.Progress(low0, 7), false);
  ASSERT_OK(cluster_.Create(In("default", "high", 1, 9)));
  const internal::v1::Stop stop = agent.NextStop();  // notice
  EXPECT_EQ(stop.attempt_id(), low0.attempt_id());
  EXPECT_FALSE(stop.kill());
  EXPECT_NEAR(static_cast<double>(stop.grace().seconds()), 17, 1);
  EXPECT_EQ(*cluster_.Progress(low0, 8), true) << "the ranks are asked to checkpoint and stop";
  EXPECT_EQ(cluster_.Get("low")->state_reason(), "PREEMPTED");
  EXPECT_EQ(cluster_.Get("high")->wait().reason(), "preempting");
  EXPECT_THAT(cluster_.Get("high")->wait().message(),
              HasSubstr(cluster_.Get("low")->name().substr(5)));
  EXPECT_EQ(*cluster_.Checkpoint(low0, 8), false);
  EXPECT_EQ(*cluster_.Checkpoint(low1, 8), true);
  agent.Exited(low0, kExitPaused);  // acknowledgement and release
  agent.Exited(low1, kExitPaused);
  const Assign high = agent.NextAssign();
  EXPECT_GT(high.attempt_id(), low0.attempt_id());
  const v1::Job waiting = cluster_.WaitFor("low", v1::JOB_STATE_QUEUED);
  EXPECT_EQ(waiting.state_reason(), "PREEMPTED");
  EXPECT_EQ(waiting.preemptions(), 1);
  EXPECT_THAT(waiting.state_message(), HasSubstr("from the checkpoint at step 8"));
  agent.Exited(high, 0);
  const Assign again = agent.NextAssign();
  EXPECT_EQ(again.job(), low0.job());
  EXPECT_EQ(again.restore_step(), 8);
  EXPECT_EQ(again.attempt(), 2);
  std::vector<std::string> kinds;
  for (const v1::Event& event : cluster_.Events("low"))
    if (event.type() == "preempted" || event.type() == "checkpoint_committed")
      kinds.push_back(event.type());
  EXPECT_THAT(kinds, ElementsAre("preempted", "checkpoint_committed"));
}

}  // namespace
}  // namespace seer::testing
