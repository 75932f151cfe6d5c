// Readers and several replicas, in processes of their own: load spreads, and a replica that stands
// still is left, while every reader gets the batches that one replica would have sent.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "tests/integration/dataservice/pool_client.h"
#include "tests/support/image_files.h"
#include "tests/support/replica_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "worker/trainer/batch_stream.h"

namespace seer::worker {
namespace {

using dataservice::BatchesOf;
using testing::FailsWith;

constexpr int kReaders = 4;

class ReplicasTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 50; ++i)
      testing::WriteFile(dir_ / absl::StrCat("images/", 100 + i, ".jpg"),
                         testing::MakeJpeg(40, 30 + i % 5, static_cast<uint32_t>(i)));
    ASSERT_OK_AND_ASSIGN(alone_, dataservice::StartServer(dir_ / "pools"));
    ASSERT_OK(dataservice::CreatePool(*alone_, "p"));
    ASSERT_OK(dataservice::IngestPool(*alone_, "p", {dir_ / "images"}));
    reference_ = std::make_unique<BatchStream>(
        Request(kReaders),
        BatchStreamOptions{.replicas = {absl::StrCat("127.0.0.1:", alone_->port())}});
    for (const char* name : {"a", "b"})
      replicas_.push_back(std::make_unique<testing::ReplicaProcess>(dir_ / "pools", dir_ / name));
  }
  BatchStreamOptions Options() const {
    BatchStreamOptions options;
    options.replicas = {replicas_[0]->address(), replicas_[1]->address()};
    options.look_around = absl::Milliseconds(200);
    return options;
  }
  v1::StreamBatchesRequest Request(int rank) const {
    auto request = BatchesOf("p", kSteps, 8);
    request.set_job(absl::StrCat("jobs/", rank));
    return request;
  }
  static int StreamsAt(const std::string& address) {
    grpc::ClientContext context;
    v1::ReplicaLoad load;
    EXPECT_OK(FromGrpc(v1::Batches::NewStub(MakeChannel({address}))
                           ->GetReplicaLoad(&context, v1::GetReplicaLoadRequest(), &load)));
    return load.streams();
  }
  // The next batch of each stream, beside that of a replica which is left alone.
  void ExpectNext(const std::vector<BatchStream*>& streams) const {
    ASSERT_OK_AND_ASSIGN(const engine::Batch expected, reference_->Next());
    for (BatchStream* stream : streams) {
      ASSERT_OK_AND_ASSIGN(const engine::Batch batch, stream->Next());
      ASSERT_EQ(batch.step, expected.step);
      ASSERT_EQ(batch.image_ids, expected.image_ids) << batch.step;
      ASSERT_TRUE(batch.crops[0].pixels.bytes() == expected.crops[0].pixels.bytes());
    }
  }

  static constexpr int kSteps = 1'000'000;
  testing::TempDir dir_;
  std::unique_ptr<dataservice::DataServer> alone_;
  std::unique_ptr<BatchStream> reference_;
  std::vector<std::unique_ptr<testing::ReplicaProcess>> replicas_;
};

TEST_F(ReplicasTest, ReadersOfABusyReplicaMoveToAnIdleOne) {
  const BatchStreamOptions options = Options();
  std::vector<std::unique_ptr<BatchStream>> readers;
  std::vector<BatchStream*> streams;
  for (int i = 0; i < kReaders; ++i) {  // all at the first
    readers.push_back(std::make_unique<BatchStream>(Request(i), options));
    streams.push_back(readers.back().get());
  }
  const absl::Time end = absl::Now() + absl::Minutes(1);
  for (int step = 0; StreamsAt(options.replicas[1]) == 0 && absl::Now() < end; ++step) {
    for (int i = 0; i < 20; ++i) ExpectNext(streams);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(StreamsAt(options.replicas[1]), 0);
  for (int i = 0; i < 50; ++i) ExpectNext(streams);
}

TEST_F(ReplicasTest, AReplicaThatStandsStillIsLeft) {
  BatchStreamOptions options = Options();
  options.silence = absl::Milliseconds(500);
  BatchStream stream(Request(0), options);
  for (int i = 0; i < 10; ++i) ExpectNext({&stream});
  replicas_[0]->Signal(SIGSTOP);
  for (int i = 0; i < 100 && !HasFatalFailure(); ++i) ExpectNext({&stream});
  replicas_[0]->Signal(SIGCONT);
  EXPECT_EQ(StreamsAt(options.replicas[1]), 1);
}

TEST_F(ReplicasTest, AnOddStallRatioIsRefused) {
  for (const double ratio : {-0.1, 1.5}) {
    grpc::ClientContext context;
    v1::GetReplicaLoadRequest request;
    request.set_stall_ratio(ratio);
    v1::ReplicaLoad load;
    EXPECT_THAT(FromGrpc(v1::Batches::NewStub(MakeChannel({replicas_[0]->address()}))
                             ->GetReplicaLoad(&context, request, &load)),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "stall ratio"));
  }
}

}  // namespace
}  // namespace seer::worker
