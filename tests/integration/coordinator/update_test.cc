// Jobs that are changed after they were made, over real gRPC and SQLite.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/queues.grpc.pb.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<v1::Job> Update(Cluster& cluster, const v1::Job& job,
                               const std::vector<std::string>& paths) {
  grpc::ClientContext context;
  v1::UpdateJobRequest request;
  *request.mutable_job() = job;
  for (const std::string& path : paths) request.mutable_update_mask()->add_paths(path);
  v1::Job out;
  const absl::Status status = FromGrpc(cluster.jobs->UpdateJob(&context, request, &out));
  if (!status.ok()) return status;
  return out;
}

v1::Job WithPriority(const std::string& name, int priority, const std::string& etag = "") {
  v1::Job job;
  job.set_name(name);
  job.set_etag(etag);
  job.mutable_spec()->mutable_scheduling()->set_priority(priority);
  return job;
}

TEST(UpdateJob, OfTwoClientsTheSecondLearnsOfTheFirst) {
  Cluster cluster;
  ASSERT_OK_AND_ASSIGN(const v1::Job made, cluster.Create(SmallSpec("shared")));
  ASSERT_OK_AND_ASSIGN(
      const v1::Job changed,
      Update(cluster, WithPriority("shared", 5, made.etag()), {"scheduling.priority"}));
  EXPECT_EQ(changed.spec().scheduling().priority(), 5);
  EXPECT_NE(changed.etag(), made.etag());
  const auto second =
      Update(cluster, WithPriority("shared", 7, made.etag()), {"scheduling.priority"});
  EXPECT_THAT(second, FailsWith(StatusCode::kAborted, reason::kEtagMismatch, "meanwhile"));
  EXPECT_THAT(GetErrorDetail(second.status())->hint, HasSubstr("seer job describe"));
  EXPECT_OK(Update(cluster, WithPriority("shared", 7, changed.etag()), {"scheduling.priority"}));
  cluster.Restart();
  EXPECT_EQ(cluster.Get("shared")->spec().scheduling().priority(), 7) << "it was not stored";
}

TEST(UpdateJob, WithoutAnEtagClientsDoNotLoseEachOthersChanges) {
  Cluster cluster;
  ASSERT_OK(cluster.Create(SmallSpec("busy")));
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&cluster, i] {
      for (int j = 0; j < 5; ++j) {
        const std::string key = absl::StrCat("k", i, "-", j);
        v1::Job job;
        job.set_name("busy");
        (*job.mutable_spec()->mutable_metadata()->mutable_labels())[key] = "v";
        absl::StatusOr<v1::Job> done;
        do done = Update(cluster, job, {"metadata.labels." + key});
        while (HasReason(done.status(), reason::kEtagMismatch));
        EXPECT_OK(done);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(cluster.Get("busy")->spec().metadata().labels().size(), 20u);
}

TEST(UpdateJob, SaysInAnEventWhatChanged) {
  Cluster cluster;
  ASSERT_OK(cluster.Create(SmallSpec("told")));
  v1::Job job = WithPriority("told", 5);
  job.mutable_spec()->mutable_failure()->set_max_restarts(3);
  ASSERT_OK(Update(cluster, job, {"scheduling.priority", "failure.maxRestarts"}));
  const std::vector<v1::Event> events = cluster.Events("told");
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().type(), "job_updated");
  EXPECT_EQ(events.back().message(),
            "failure.maxRestarts from 10 to 3, scheduling.priority from 0 to 5");
  // Nothing changes: no event, and the same etag.
  ASSERT_OK_AND_ASSIGN(const v1::Job before, cluster.Get("told"));
  ASSERT_OK_AND_ASSIGN(const v1::Job after, Update(cluster, job, {"scheduling.priority"}));
  EXPECT_EQ(before.etag(), after.etag());
  EXPECT_EQ(cluster.Events("told").size(), events.size());
  // What is named and unset becomes the default.
  ASSERT_OK_AND_ASSIGN(const v1::Job reset, Update(cluster, WithPriority("told", 5), {"failure"}));
  EXPECT_EQ(reset.spec().failure().max_restarts(), 10);
  EXPECT_EQ(reset.spec().failure().no_progress_timeout().seconds(), 600);
}

TEST(UpdateJob, RefusesWhatAJobMayNotBecome) {
  Cluster cluster;
  ASSERT_OK(cluster.Create(SmallSpec("strict")));
  EXPECT_THAT(Update(cluster, WithPriority("strict", 5000), {"scheduling.priority"}),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "scheduling.priority"));
  EXPECT_THAT(Update(cluster, WithPriority("strict", 5), {"optim.lr"}),
              FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument, "may not change"));
  EXPECT_THAT(Update(cluster, WithPriority("strict", 5), {}),
              FailsWith(StatusCode::kInvalidArgument, reason::kMissingField, "nothing"));
  EXPECT_THAT(Update(cluster, WithPriority("nobody", 5), {"scheduling.priority"}),
              FailsWith(StatusCode::kNotFound, reason::kJobNotFound, "nobody"));
  v1::Job job;
  job.set_name("strict");
  job.mutable_spec()->mutable_scheduling()->set_queue("nowhere");
  EXPECT_THAT(Update(cluster, job, {"scheduling.queue"}),
              FailsWith(StatusCode::kNotFound, reason::kQueueNotFound, "nowhere"));
  ASSERT_OK(cluster.Cancel("strict"));
  EXPECT_THAT(Update(cluster, WithPriority("strict", 5), {"scheduling.priority"}),
              FailsWith(StatusCode::kFailedPrecondition, reason::kWrongJobState, "CANCELLED"));
}

TEST(UpdateJob, AHigherPriorityGoesFirstFromThenOn) {
  Cluster cluster;
  FakeAgent agent(cluster.port(), {.name = "w1", .devices = 1});
  ASSERT_TRUE(cluster.WaitForWorkers(1));
  ASSERT_OK(cluster.Create(SmallSpec("first", 1)));
  const internal::v1::Assign first = agent.NextAssign();
  ASSERT_OK(cluster.Create(SmallSpec("second", 1)));
  ASSERT_OK_AND_ASSIGN(const v1::Job third, cluster.Create(SmallSpec("third", 1)));
  ASSERT_OK(Update(cluster, WithPriority("third", 0), {"scheduling.priority"}));
  v1::Job stop = WithPriority("first", 1);
  ASSERT_OK(Update(cluster, stop, {"scheduling.priority"}));
  ASSERT_OK(Update(cluster, WithPriority("third", 1), {"scheduling.priority"}));
  agent.Exited(first, 0);
  EXPECT_EQ(agent.NextAssign().job(), third.name());
}

TEST(UpdateJob, ASpecOfTenMegabytesIsRefusedWithItsLimit) {
  Cluster cluster;
  v1::JobSpec spec = SmallSpec("big");
  spec.mutable_model()->mutable_weights()->set_uri("/" + std::string(10'000'000, 'x'));
  EXPECT_THAT(cluster.Create(spec),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "at most 1048576"));
}

}  // namespace
}  // namespace seer::testing
