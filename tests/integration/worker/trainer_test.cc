// One rank from its assignment to its exit code: the real engine, and a coordinator and a data
// service played by the test.
#include "worker/trainer/trainer.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "client/cli.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/exit_code.h"
#include "common/base/trainer_exit.h"
#include "common/metrics/registry.h"
#include "common/objectstore/open_store.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/defaults.h"
#include "common/spec/yaml.h"
#include "seer/v1/batches.grpc.pb.h"
#include "seer/v1/checkpoints.grpc.pb.h"
#include "tests/support/image_files.h"
#include "tests/support/s3_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kDeadline = absl::Seconds(60);

// Thread-safe.
class FakeCluster final : public internal::v1::Trainers::Service, public v1::Batches::Service {
 public:
  FakeCluster() { Start(); }
  ~FakeCluster() override { Stop(); }
  void Start() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(static_cast<internal::v1::Trainers::Service*>(this));
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
    if (data_ != nullptr) return;
    grpc::ServerBuilder data;
    data.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    data.RegisterService(static_cast<v1::Batches::Service*>(this));
    data_ = data.BuildAndStart();
    data_address_ = absl::StrCat("127.0.0.1:", port);
  }
  void Stop() { server_->Shutdown(std::chrono::system_clock::now()); }  // the coordinator alone

  grpc::Status ReportProgress(grpc::ServerContext*,
                              const internal::v1::ReportProgressRequest* request,
                              internal::v1::ReportProgressResponse* out) override {
    absl::MutexLock lock(&mu_);
    progress.push_back(*request);
    out->set_pause(pause_at > 0 && request->step() >= pause_at);
    return ToGrpc(progress_answer);
  }
  grpc::Status ReportCheckpoint(grpc::ServerContext*,
                                const internal::v1::ReportCheckpointRequest* request,
                                internal::v1::ReportCheckpointResponse* out) override {
    absl::MutexLock lock(&mu_);
    checkpoints.push_back(*request);
    if (cancelled_reports-- > 0) return grpc::Status::CANCELLED;
    out->set_committed(true);
    return grpc::Status::OK;
  }
  grpc::Status StreamBatches(grpc::ServerContext*, const v1::StreamBatchesRequest* request,
                             grpc::ServerWriter<v1::BatchMessage>* writer) override {
    {
      absl::MutexLock lock(&mu_);
      streams.push_back(*request);
      if (!data_answer.ok()) return ToGrpc(data_answer);
    }
    const auto samples = static_cast<int>(request->global_batch() / request->world_size());
    for (int64_t step = request->first_step(); step < request->end_step(); ++step) {
      v1::BatchMessage message;
      message.set_step(step);
      message.set_first_sample(step * request->global_batch());
      for (const auto& recipe : request->crops()) {
        auto& crop = *message.add_crops();
        crop.set_views(recipe.views());
        crop.set_samples(samples);
        crop.set_size(recipe.size());
        std::string pixels(
            static_cast<size_t>(3) * recipe.views() * samples * recipe.size() * recipe.size(), 0);
        uint32_t state = static_cast<uint32_t>(step) + 1;
        for (char& c : pixels) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
        crop.set_pixels(std::move(pixels));
      }
      message.set_image_ids(std::string(static_cast<size_t>(32) * samples, 'i'));
      for (int i = 0; i < samples; ++i) message.add_labels(-1);
      if (!writer->Write(message)) return grpc::Status::CANCELLED;
    }
    return grpc::Status::OK;
  }
  template <typename Condition>
  bool WaitFor(Condition condition) {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&condition), kDeadline);
  }
  const std::string& address() const { return address_; }
  const std::string& data_address() const { return data_address_; }

  // Set before the rank runs, read after it has ended or in WaitFor.
  int64_t pause_at = 0;       // the step from which a pause is wanted; 0: never
  int cancelled_reports = 0;  // of checkpoints
  absl::Status progress_answer, data_answer;
  std::vector<internal::v1::ReportProgressRequest> progress;
  std::vector<internal::v1::ReportCheckpointRequest> checkpoints;
  std::vector<v1::StreamBatchesRequest> streams;

 private:
  absl::Mutex mu_;
  std::string address_ = "127.0.0.1:0", data_address_;
  std::unique_ptr<grpc::Server> server_, data_;
};

// Every checkpoint is there, below `storage`.
struct FakeCheckpoints final : public v1::Checkpoints::Service {
  explicit FakeCheckpoints(std::string uri) : storage(std::move(uri)) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server = builder.BuildAndStart();
    address = absl::StrCat("127.0.0.1:", port);
  }
  grpc::Status GetCheckpoint(grpc::ServerContext*, const v1::GetCheckpointRequest* request,
                             v1::Checkpoint* checkpoint) override {
    checkpoint->set_name(request->name());
    checkpoint->set_uri(absl::StrCat(storage, "/", absl::StripPrefix(request->name(), "jobs/")));
    return grpc::Status::OK;
  }
  const std::string storage;
  std::string address;
  std::unique_ptr<grpc::Server> server;
};

constexpr char kSpec[] = R"(
model:
  trunk:
    regnet: {depth: 4, w_0: 16, w_a: 8, w_m: 2, groupWidth: 8, seRatio: 0.25}
    stemStride: 1
  head: {hidden: [32], outputDim: 16}
loss: {swav: {prototypes: 10, freezePrototypesSteps: 0}}
augment: {crops: [{views: 2, size: 16, minScale: 0.5, maxScale: 1.0}]}
data: {pool: noise, globalBatch: 8, recordIds: true}
optim: {steps: 6, lr: 0.1}
distributed: {ranks: 1, threadsPerRank: 1}
checkpoint: {everySteps: 3}
)";

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    auto spec = ParseJobSpec(kSpec, "spec", {});
    EXPECT_OK(spec);
    spec_ = *spec;
  }
  internal::v1::Assign Assignment() {
    FillDefaults(spec_);
    internal::v1::Assign assign;
    assign.set_attempt_id(9);
    assign.set_job("jobs/job_a");
    assign.set_attempt(1);
    assign.set_world_size(1);
    assign.set_ranks_on_machine(1);
    assign.set_spec(spec_.SerializeAsString());
    assign.set_storage_uri("file://" + dir_.path().string());
    assign.add_dataservice_addresses(cluster_.data_address());
    assign.set_coordinator_address(cluster_.address());
    assign.add_data_plan()->set_generation(1);
    return assign;
  }
  RankOutcome Run(const internal::v1::Assign& assign) { return RunRank(assign, stop_, {metrics_}); }
  RankOutcome Run() { return Run(Assignment()); }
  std::vector<int64_t> CheckpointSteps() const {
    std::vector<int64_t> steps;
    for (const auto& report : cluster_.checkpoints) steps.push_back(report.step());
    return steps;
  }
  testing::TempDir dir_;
  v1::JobSpec spec_;
  FakeCluster cluster_;
  std::atomic<bool> stop_{false};
  MetricsRegistry metrics_;
};

TEST_F(TrainerTest, ARankTrainsChecksInAndEnds) {
  const RankOutcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.message;
  EXPECT_THAT(CheckpointSteps(), ElementsAre(3, 6));
  ASSERT_FALSE(cluster_.progress.empty());
  const auto& last = cluster_.progress.back();
  EXPECT_EQ(last.attempt_id(), 9);
  EXPECT_EQ(last.job(), "jobs/job_a");
  EXPECT_EQ(last.step(), 6);
  EXPECT_GT(last.loss(), 0);
  EXPECT_GT(last.images_per_second(), 0);
  ASSERT_OK_AND_ASSIGN(const auto store, OpenStore("file://" + dir_.path().string()));
  for (const auto& report : cluster_.checkpoints) {
    ASSERT_OK_AND_ASSIGN(
        const std::string bytes,
        store->Get(absl::StrCat("job_a/checkpoints/", report.step(), "/", report.file_name())));
    EXPECT_EQ(report.size_bytes(), static_cast<int64_t>(bytes.size()));
    EXPECT_EQ(report.sha256(), Sha256Hex(bytes));
    EXPECT_EQ(report.attempt_id(), 9);
    EXPECT_EQ(report.world_size(), 1);
  }
  const std::string text = metrics_.Render();
  EXPECT_THAT(text, HasSubstr("seer_train_step{job=\"job_a\",rank=\"0\"} 6"));
  EXPECT_THAT(text, HasSubstr("seer_train_images_total{job=\"job_a\",rank=\"0\"} 48"));
  EXPECT_THAT(text, HasSubstr("seer_checkpoint_seconds_count{stage=\"commit\"} 2"));
  EXPECT_OK(store->Get("job_a/ids/attempt-1-rank-0.jsonl"));
}

TEST_F(TrainerTest, APausedRankCheckpointsAndGoesOnWhereItStopped) {
  spec_.mutable_optim()->set_steps(100000);
  spec_.mutable_checkpoint()->set_every_steps(100000);
  cluster_.pause_at = 1;  // its first step
  EXPECT_EQ(Run().exit_code, kExitPaused);
  ASSERT_EQ(cluster_.checkpoints.size(), 1u);
  const int64_t step = cluster_.checkpoints[0].step();
  EXPECT_GE(step, 2) << "the vote travels with the step after the answer";

  cluster_.pause_at = 0;
  spec_.mutable_optim()->set_steps(step + 2);
  internal::v1::Assign assign = Assignment();
  assign.set_attempt_id(10);
  assign.set_restore_uri(absl::StrCat(assign.storage_uri(), "/job_a/checkpoints/", step));
  assign.set_restore_step(step);
  const RankOutcome outcome = Run(assign);
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.message;
  EXPECT_EQ(cluster_.streams.back().first_step(), step);
  EXPECT_THAT(CheckpointSteps(), ElementsAre(step, step + 2));
}

TEST_F(TrainerTest, CheckpointsInTheCloudAreThoseOnADisk) {
  spec_.mutable_data()->set_record_ids(false);
  EXPECT_EQ(Run().exit_code, kExitDone);
  testing::UseCredentials();
  const testing::S3Server s3;
  s3.SetFaults(R"({"error_500": 0.1, "reset": 0.1, "short": 0.1})");
  internal::v1::Assign assign = Assignment();
  assign.set_storage_uri(s3.Uri("storage"));
  RankOutcome outcome = Run(assign);
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.message;
  assign.set_attempt_id(10);  // goes on from step 3
  assign.set_restore_uri(absl::StrCat(assign.storage_uri(), "/job_a/checkpoints/3"));
  assign.set_restore_step(3);
  outcome = Run(assign);
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.message;
  ASSERT_THAT(CheckpointSteps(), ElementsAre(3, 6, 3, 6, 6));
  EXPECT_EQ(cluster_.checkpoints[2].sha256(), cluster_.checkpoints[0].sha256());
  EXPECT_EQ(cluster_.checkpoints[3].sha256(), cluster_.checkpoints[1].sha256());
  EXPECT_EQ(cluster_.checkpoints[4].sha256(), cluster_.checkpoints[1].sha256());

  spec_.mutable_data()->set_record_ids(true);  // has no place there
  assign.set_spec(spec_.SerializeAsString());
  outcome = Run(assign);
  EXPECT_EQ(outcome.exit_code, kExitUserError) << outcome.message;
  EXPECT_THAT(outcome.message, HasSubstr("data.recordIds"));
}

TEST_F(TrainerTest, WeightsExportedFromTheCloudAreThoseFromADisk) {
  spec_.mutable_data()->set_record_ids(false);
  testing::UseCredentials();
  const testing::S3Server s3;
  std::vector<std::string> exported;
  for (const std::string& storage : {Assignment().storage_uri(), s3.Uri("storage")}) {
    internal::v1::Assign assign = Assignment();
    assign.set_storage_uri(storage);
    ASSERT_EQ(Run(assign).exit_code, kExitDone);
    s3.SetFaults(R"({"error_500": 0.1, "reset": 0.1, "short": 0.1})");
    const FakeCheckpoints coordinator(storage);
    const auto run = [&](const std::string& checkpoint, const std::string& file) {
      const std::vector<const char*> words = {
          "seer",       "--coordinator", coordinator.address.c_str(),
          "checkpoint", "export",        checkpoint.c_str(),
          "--names",    "timm",          "--file",
          file.c_str()};
      return client::RunCli(static_cast<int>(words.size()), words.data());
    };
    const std::string file = dir_ / absl::StrCat("weights-", exported.size());
    EXPECT_EQ(run("job_a/6", file), kExitOk) << storage;
    exported.push_back(testing::ReadFile(file));
    EXPECT_EQ(run("job_a/7", file + "-none"), kExitError) << storage;
    EXPECT_FALSE(std::filesystem::exists(file + "-none"));
  }
  EXPECT_GT(exported[0].size(), 10'000u);
  EXPECT_TRUE(exported[0] == exported[1]);
}

TEST_F(TrainerTest, SigtermIsAPause) {
  spec_.mutable_optim()->set_steps(100000);
  spec_.mutable_checkpoint()->set_every_steps(100000);
  RankOutcome outcome;
  std::thread rank([&] { outcome = Run(); });
  EXPECT_TRUE(cluster_.WaitFor([&] { return !cluster_.progress.empty(); }));
  stop_ = true;
  rank.join();
  EXPECT_EQ(outcome.exit_code, kExitPaused);
  EXPECT_EQ(cluster_.checkpoints.size(), 1u);
}

TEST_F(TrainerTest, ARankThatIsStoppedBeforeItBeganEndsAtOnce) {
  stop_ = true;
  EXPECT_EQ(Run().exit_code, kExitPaused);
  EXPECT_TRUE(cluster_.streams.empty());
  spec_.set_kind(v1::JOB_KIND_EVAL_KNN);
  EXPECT_EQ(Run().exit_code, kExitPaused);
}

// The coordinator cancels calls when its time to drain is up; the rank said that it was paused.
TEST_F(TrainerTest, ACancelledCheckpointReportIsNeitherAPauseNorAFailure) {
  cluster_.cancelled_reports = 2;
  const RankOutcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.message;
  EXPECT_THAT(CheckpointSteps(), ElementsAre(3, 3, 3, 6));
}

TEST_F(TrainerTest, ACoordinatorThatIsAwayIsWaitedForNotDiedOf) {
  cluster_.Stop();
  RankOutcome outcome;
  std::thread rank([&] { outcome = Run(); });
  EXPECT_TRUE(cluster_.WaitFor([&] { return !cluster_.streams.empty(); }));
  cluster_.Start();
  rank.join();
  EXPECT_EQ(outcome.exit_code, kExitDone) << outcome.message;
  EXPECT_THAT(CheckpointSteps(), ElementsAre(3, 6));
}

TEST_F(TrainerTest, AStaleAttemptEnds) {
  spec_.mutable_optim()->set_steps(100000);
  spec_.mutable_checkpoint()->set_every_steps(100000);
  cluster_.progress_answer =
      Error(absl::StatusCode::kFailedPrecondition, reason::kStaleAttempt, "stale");
  const RankOutcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, kExitStale);
  EXPECT_EQ(outcome.reason, reason::kStaleAttempt);
}

// A learning rate of 1e30: after the first step nothing is finite any more.
TEST_F(TrainerTest, RefusedStepsEndARankAsTheirPolicySays) {
  spec_.mutable_optim()->set_lr(1e30);
  spec_.mutable_failure()->set_refused_step_limit(3);
  spec_.mutable_failure()->set_refused_step_policy(v1::REFUSED_STEP_POLICY_SKIP);
  const RankOutcome skipped = Run();
  EXPECT_EQ(skipped.exit_code, kExitDone) << skipped.message;
  ASSERT_FALSE(cluster_.progress.empty());
  EXPECT_EQ(cluster_.progress.back().step(), 6);
  EXPECT_GE(cluster_.progress.back().skipped_steps(), 4) << "as many as would have ended it";

  spec_.mutable_failure()->set_refused_step_policy(v1::REFUSED_STEP_POLICY_ROLL_BACK);
  cluster_.checkpoints.clear();
  const RankOutcome rolled_back = Run();
  EXPECT_THAT(CheckpointSteps(), ElementsAre()) << "of step 3, whose weights are to be left behind";
  EXPECT_EQ(rolled_back.exit_code, kExitRollBack);
  EXPECT_EQ(rolled_back.reason, reason::kNonFinite);

  spec_.mutable_failure()->set_refused_step_policy(v1::REFUSED_STEP_POLICY_FAIL);
  ::testing::internal::CaptureStderr();
  const RankOutcome failed = Run();
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(failed.exit_code, kExitNonFinite);
  EXPECT_EQ(failed.reason, reason::kNonFinite);
  EXPECT_THAT(failed.message, HasSubstr("in 3 steps in a row"));
  // The last step's images, as the log of ids has them, are in its line.
  ASSERT_OK_AND_ASSIGN(const auto store, OpenStore("file://" + dir_.path().string()));
  ASSERT_OK_AND_ASSIGN(const std::string ids, store->Get("job_a/ids/attempt-1-rank-0.jsonl"));
  const size_t list = ids.rfind("\"ids\":[\"");
  ASSERT_NE(list, std::string::npos);
  EXPECT_THAT(log, HasSubstr("step_refused"));
  EXPECT_THAT(log, HasSubstr("in_a_row=3"));
  EXPECT_THAT(log, HasSubstr("images=" + ids.substr(list + 8, 64)));
}

TEST_F(TrainerTest, FailuresHaveTheirCodes) {
  cluster_.data_answer = Error(absl::StatusCode::kNotFound, reason::kPoolNotFound, "no pool noise");
  const RankOutcome no_pool = Run();
  EXPECT_EQ(no_pool.exit_code, kExitData);
  EXPECT_THAT(no_pool.message, HasSubstr("no pool noise"));

  internal::v1::Assign assign = Assignment();
  assign.set_restore_uri(assign.storage_uri() + "/job_a/checkpoints/77");
  EXPECT_EQ(Run(assign).exit_code, kExitStorage);

  assign = Assignment();
  assign.set_spec("\xff not a spec");
  EXPECT_EQ(Run(assign).exit_code, kExitInternal);

  assign = Assignment();
  assign.clear_dataservice_addresses();
  EXPECT_EQ(Run(assign).exit_code, kExitInternal);

  spec_.mutable_model()->mutable_trunk()->set_preset("regnetz_1tf");
  EXPECT_EQ(Run().exit_code, kExitUserError);
}

}  // namespace
}  // namespace seer::worker
