// Which checkpoints are kept, over real gRPC and real files: pins, pruning, lineage, jobs that
// start from others' checkpoints or go back to their own, and storage that is low.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/trainer_exit.h"
#include "common/rpc/status_grpc.h"
#include "tests/integration/coordinator/cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;
using internal::v1::Assign;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class KeepingTest : public ::testing::Test {
 protected:
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Checkpoints::Stub::*method)(grpc::ClientContext*,
                                                                              const Request&,
                                                                              Response*),
                                const Request& request) {
    return CallStub(*cluster_.checkpoints, method, request);
  }
  absl::StatusOr<v1::Checkpoint> Pin(const std::string& name, const std::string& user,
                                     const std::string& why) {
    v1::PinCheckpointRequest request;
    request.set_name(name);
    request.set_user(user);
    request.set_reason(why);
    return Call(&v1::Checkpoints::Stub::PinCheckpoint, request);
  }
  absl::StatusOr<v1::Checkpoint> Unpin(const std::string& name) {
    v1::UnpinCheckpointRequest request;
    request.set_name(name);
    return Call(&v1::Checkpoints::Stub::UnpinCheckpoint, request);
  }
  absl::StatusOr<v1::Checkpoint> Get(const std::string& name) {
    v1::GetCheckpointRequest request;
    request.set_name(name);
    return Call(&v1::Checkpoints::Stub::GetCheckpoint, request);
  }
  // "15: the newest", newest first.
  std::vector<std::string> List(const std::string& job) {
    v1::ListCheckpointsRequest request;
    request.set_parent(job);
    const auto found = Call(&v1::Checkpoints::Stub::ListCheckpoints, request);
    EXPECT_OK(found);
    std::vector<std::string> lines;
    for (const v1::Checkpoint& each : found->checkpoints())
      lines.push_back(absl::StrCat(each.step(), ": ", each.keep_reason()));
    return lines;
  }
  bool FilesAreThere(const v1::Job& job, int64_t step) {
    return std::filesystem::exists(absl::StrCat(cluster_.dir() / "storage", "/",
                                                job.name().substr(5), "/checkpoints/", step,
                                                "/rank-0.safetensors"));
  }

  Cluster cluster_;
};

TEST_F(KeepingTest, APinnedCheckpointStaysUntilItIsUnpinned) {
  FakeAgent agent(cluster_.port(), {});
  v1::JobSpec spec = SmallSpec("kept", 1);
  spec.mutable_checkpoint()->set_keep_last(1);
  spec.mutable_checkpoint()->set_keep_every(10);
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster_.Create(spec));
  const Assign rank = agent.NextAssign();
  EXPECT_EQ(*cluster_.Checkpoint(rank, 5), true);
  ASSERT_OK_AND_ASSIGN(const v1::Checkpoint pinned,
                       Pin("jobs/kept/checkpoints/5", "alice", "in the paper"));
  EXPECT_EQ(pinned.pin().user(), "alice");
  EXPECT_EQ(pinned.keep_reason(), "pinned by alice (in the paper); the newest");
  for (const int step : {10, 14, 16}) EXPECT_EQ(*cluster_.Checkpoint(rank, step), true);
  EXPECT_THAT(List("jobs/kept"), ElementsAre("16: the newest", "10: a multiple of 10",
                                             "5: pinned by alice (in the paper)"));
  EXPECT_TRUE(Eventually([&] { return !FilesAreThere(job, 14); }));
  EXPECT_THAT(Pin("jobs/kept/checkpoints/5", "", ""),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "user"));
  EXPECT_THAT(Pin("jobs/kept/checkpoints/14", "alice", ""),
              FailsWith(StatusCode::kNotFound, reason::kCheckpointNotFound, "14"));
  ASSERT_OK_AND_ASSIGN(const v1::Checkpoint let_go, Unpin("jobs/kept/checkpoints/5"));
  EXPECT_FALSE(let_go.has_pin());
  EXPECT_EQ(let_go.keep_reason(), "");
  EXPECT_TRUE(Eventually([&] { return !FilesAreThere(job, 5); }));
  EXPECT_TRUE(FilesAreThere(job, 10));
}

TEST_F(KeepingTest, ADryRunSaysWhatPruningDoes) {
  FakeAgent agent(cluster_.port(), {});
  v1::JobSpec spec = SmallSpec("pruned", 1);
  spec.mutable_checkpoint()->set_keep_last(4);
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster_.Create(spec));
  const Assign rank = agent.NextAssign();
  for (const int step : {5, 10, 15}) EXPECT_EQ(*cluster_.Checkpoint(rank, step), true);
  ASSERT_OK(Pin("jobs/pruned/checkpoints/10", "alice", ""));
  v1::PruneCheckpointsRequest request;
  request.set_parent("jobs/pruned");
  request.set_keep_last(1);
  request.set_dry_run(true);
  ASSERT_OK_AND_ASSIGN(const v1::PruneCheckpointsResponse planned,
                       Call(&v1::Checkpoints::Stub::PruneCheckpoints, request));
  EXPECT_THAT(List("jobs/pruned"), SizeIs(3));
  request.set_dry_run(false);
  ASSERT_OK_AND_ASSIGN(const v1::PruneCheckpointsResponse done,
                       Call(&v1::Checkpoints::Stub::PruneCheckpoints, request));
  EXPECT_EQ(planned.DebugString(), done.DebugString());
  ASSERT_EQ(done.checkpoints_size(), 3);
  EXPECT_EQ(done.checkpoints(2).name(), absl::StrCat(job.name(), "/checkpoints/5"));
  EXPECT_TRUE(done.checkpoints(2).deleted());
  EXPECT_EQ(done.checkpoints(2).reason(), "not the newest");
  EXPECT_GT(done.checkpoints(2).size_bytes(), 0);
  EXPECT_FALSE(done.checkpoints(1).deleted());
  EXPECT_THAT(List("jobs/pruned"),
              ElementsAre("15: the newest", "10: pinned by alice; among the last 4"));
  EXPECT_TRUE(Eventually([&] { return !FilesAreThere(job, 5); }));
  request.set_keep_last(0);
  EXPECT_THAT(Call(&v1::Checkpoints::Stub::PruneCheckpoints, request),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "keep_last"));
}

TEST_F(KeepingTest, AJobStartsFromAnothersCheckpointAndSaysSo) {
  FakeAgent agent(cluster_.port(), {});
  v1::JobSpec spec = SmallSpec("first", 1);
  spec.mutable_checkpoint()->set_keep_last(1);
  ASSERT_OK_AND_ASSIGN(const v1::Job first, cluster_.Create(spec));
  const Assign rank = agent.NextAssign();
  EXPECT_EQ(*cluster_.Checkpoint(rank, 10), true);
  spec.mutable_metadata()->set_name("fork");
  spec.mutable_checkpoint()->set_start_from("jobs/first/checkpoints/10");
  ASSERT_OK_AND_ASSIGN(const v1::Job fork, cluster_.Create(spec));
  const std::string origin = absl::StrCat(first.name(), "/checkpoints/10");
  EXPECT_EQ(fork.spec().checkpoint().start_from(), origin);
  const Assign forked = agent.NextAssign();
  EXPECT_THAT(forked.restore_uri(),
              EndsWith(absl::StrCat("/", first.name().substr(5), "/checkpoints/10")));
  EXPECT_EQ(forked.restore_step(), 10);
  // It is kept while the fork lives, also by a coordinator that was started again.
  EXPECT_EQ(*cluster_.Checkpoint(rank, 20), true);
  cluster_.Restart();
  EXPECT_THAT(List("jobs/first"),
              ElementsAre("20: the newest",
                          absl::StrCat("10: job ", fork.name().substr(5), " starts from it")));
  EXPECT_EQ(*cluster_.Checkpoint(forked, 15), true);
  ASSERT_OK_AND_ASSIGN(const v1::Checkpoint own, Get("jobs/fork/checkpoints/15"));
  EXPECT_EQ(own.restored_from(), origin);
  EXPECT_EQ(own.generation(), 3);
  EXPECT_THAT(own.recipe_sha256(), SizeIs(64));
  ASSERT_OK_AND_ASSIGN(const v1::Checkpoint before, Get("jobs/first/checkpoints/20"));
  EXPECT_EQ(before.restored_from(), "");
  EXPECT_EQ(before.recipe_sha256(), own.recipe_sha256()) << "the name is no part of it";
  ASSERT_OK(cluster_.Cancel("jobs/fork"));
}

TEST_F(KeepingTest, AJobThatCannotGoOnFromTheCheckpointIsRefusedBeforeARankStarts) {
  FakeAgent agent(cluster_.port(), {});
  v1::JobSpec spec = SmallSpec("first", 1);
  spec.mutable_model()->mutable_trunk()->set_preset("regnety_400mf");
  ASSERT_OK(cluster_.Create(spec));
  EXPECT_EQ(*cluster_.Checkpoint(agent.NextAssign(), 10), true);
  spec.mutable_metadata()->set_name("fork");
  const auto refused = [&](const std::function<void(v1::JobSpec&)>& change) {
    v1::JobSpec other = spec;
    other.mutable_checkpoint()->set_start_from("jobs/first/checkpoints/10");
    change(other);
    return cluster_.Create(other);
  };
  const auto mismatch = [](const std::string& field) {
    return FailsWith(StatusCode::kFailedPrecondition, reason::kCheckpointMismatch, field);
  };
  EXPECT_THAT(refused([](v1::JobSpec& s) {
                s.mutable_model()->mutable_trunk()->set_preset("regnety_200mf");
              }),
              mismatch("trunk"));
  EXPECT_THAT(
      refused([](v1::JobSpec& s) { s.mutable_model()->mutable_head()->set_output_dim(64); }),
      mismatch("head"));
  EXPECT_THAT(refused([](v1::JobSpec& s) { s.mutable_loss()->mutable_swav()->set_prototypes(77); }),
              mismatch("prototypes"));
  EXPECT_THAT(
      refused([](v1::JobSpec& s) { s.mutable_loss()->mutable_swav()->set_queue_length(16); }),
      mismatch("queue"));
  EXPECT_THAT(
      refused([](v1::JobSpec& s) { s.mutable_optim()->set_kind(v1::OPTIMIZER_KIND_ADAMW); }),
      mismatch("optimiser"));
  EXPECT_THAT(refused([](v1::JobSpec& s) { s.mutable_optim()->set_ema_decay(0.9); }),
              mismatch("mean"));
  EXPECT_THAT(refused([](v1::JobSpec& s) { s.mutable_optim()->set_steps(10); }),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "optim.steps"));
  EXPECT_THAT(refused([](v1::JobSpec& s) {
                s.mutable_checkpoint()->set_start_from("jobs/first/checkpoints/9");
              }),
              FailsWith(StatusCode::kNotFound, reason::kCheckpointNotFound, "9"));
  ASSERT_OK_AND_ASSIGN(const v1::Job fork, refused([](v1::JobSpec& s) { s.clear_model(); }));
  EXPECT_EQ(fork.spec().model().trunk().preset(), "regnety_400mf") << "the checkpoint's";
}

TEST_F(KeepingTest, APausedJobGoesBackToAnOlderCheckpoint) {
  FakeAgent agent(cluster_.port(), {});
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster_.Create(SmallSpec("back", 1)));
  const Assign rank = agent.NextAssign();
  for (const int step : {5, 10}) EXPECT_EQ(*cluster_.Checkpoint(rank, step), true);
  EXPECT_THAT(cluster_.Resume("jobs/back", 5),
              FailsWith(StatusCode::kFailedPrecondition, reason::kWrongJobState, "step 5"));
  ASSERT_OK(cluster_.Pause("jobs/back"));
  agent.NextStop();
  agent.Exited(rank, kExitPaused);
  cluster_.WaitFor("jobs/back", v1::JOB_STATE_PAUSED);
  EXPECT_THAT(cluster_.Resume("jobs/back", -1),
              FailsWith(StatusCode::kInvalidArgument, reason::kOutOfRange, "-1"));
  ASSERT_OK(Pin("jobs/back/checkpoints/10", "alice", ""));
  EXPECT_THAT(cluster_.Resume("jobs/back", 5),
              FailsWith(StatusCode::kFailedPrecondition, reason::kCheckpointInUse, "alice"));
  ASSERT_OK(Unpin("jobs/back/checkpoints/10"));
  ASSERT_OK(cluster_.Resume("jobs/back", 5));
  const Assign again = agent.NextAssign();
  EXPECT_EQ(again.restore_step(), 5);
  EXPECT_FALSE(FilesAreThere(job, 10)) << "gone before the attempt may write it anew";
  EXPECT_EQ(*cluster_.Checkpoint(again, 10), true);
  ASSERT_OK_AND_ASSIGN(const v1::Checkpoint anew, Get("jobs/back/checkpoints/10"));
  EXPECT_EQ(anew.attempt(), 2);
  EXPECT_EQ(anew.restored_from(), absl::StrCat(job.name(), "/checkpoints/5"));
}

TEST_F(KeepingTest, LowStorageWarnsAndKeepsOnlyWhatTheJobsNeedThen) {
  v1::JobSpec spec = SmallSpec("roomy", 1);
  spec.mutable_checkpoint()->set_keep_last(3);
  spec.mutable_checkpoint()->set_keep_last_when_full(1);
  ASSERT_OK_AND_ASSIGN(const v1::Job job, cluster_.Create(spec));
  EXPECT_EQ(job.storage_warning(), "");
  {
    FakeAgent agent(cluster_.port(), {});
    const Assign rank = agent.NextAssign();
    for (const int step : {5, 10, 15}) EXPECT_EQ(*cluster_.Checkpoint(rank, step), true);
    ASSERT_OK(Pin("jobs/roomy/checkpoints/5", "alice", ""));
  }
  cluster_.storage_low_watermark = 1;  // no file system is that empty
  cluster_.Restart();
  EXPECT_TRUE(Eventually([&] { return !FilesAreThere(job, 10); }));
  EXPECT_THAT(List("jobs/roomy"), ElementsAre("15: the newest", "5: pinned by alice"));
  EXPECT_TRUE(FilesAreThere(job, 5));
  ASSERT_OK_AND_ASSIGN(const v1::Job warned, cluster_.Get("jobs/roomy"));
  EXPECT_THAT(warned.storage_warning(), HasSubstr("watermark is 100.0%"));
  const std::vector<v1::Event> events = cluster_.Events("jobs/roomy");
  EXPECT_TRUE(std::any_of(events.begin(), events.end(),
                          [](const v1::Event& e) { return e.type() == "storage_low"; }));
}

}  // namespace
}  // namespace seer::testing
