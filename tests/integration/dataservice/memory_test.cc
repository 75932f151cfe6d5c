// A data service in a process of its own stays as large as it was, whatever was done to its pools.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/pools.grpc.pb.h"
#include "tests/support/image_files.h"
#include "tests/support/replica_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

class MemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    replica_ = std::make_unique<testing::ReplicaProcess>(dir_ / "pools", dir_ / "ports");
    pools_ = v1::Pools::NewStub(MakeChannel({replica_->address()}));
    grpc::ClientContext context;
    v1::CreatePoolRequest request;
    request.set_pool_id("p");
    v1::Pool pool;
    ASSERT_OK(FromGrpc(pools_->CreatePool(&context, request, &pool)));
  }

  absl::Status Ingest(const std::string& source) {
    grpc::ClientContext context;
    v1::IngestPoolRequest request;
    request.set_name("pools/p");
    request.add_sources(source);
    const auto stream = pools_->IngestPool(&context, request);
    v1::IngestProgress progress;
    while (stream->Read(&progress)) continue;
    return FromGrpc(stream->Finish());
  }
  absl::Status TakeDown(const std::string& id) {
    grpc::ClientContext context;
    v1::TakeDownImagesRequest request;
    request.set_name("pools/p");
    request.add_image_ids(id);
    request.set_reason("asked");
    const auto stream = pools_->TakeDownImages(&context, request);
    v1::TakedownProgress progress;
    while (stream->Read(&progress)) continue;
    return FromGrpc(stream->Finish());
  }
  // What is free is given back every few seconds.
  bool FallsTo(int64_t bytes) const {
    const absl::Time end = absl::Now() + absl::Seconds(60);
    while (replica_->private_bytes() > bytes && absl::Now() < end)
      absl::SleepFor(absl::Milliseconds(50));  // pages give no event
    return replica_->private_bytes() <= bytes;
  }
  // `count` new images of about 150 KB; the id of the first.
  std::string WriteImages(const std::string& folder, int count) {
    std::string first;
    for (int i = 0; i < count; ++i) {
      const std::string image = testing::MakePng(256, 256, seed_++);
      bytes_ += static_cast<int64_t>(image.size());
      if (first.empty()) first = Sha256Hex(image);
      testing::WriteFile(dir_ / absl::StrCat(folder, "/", 1000 + i, ".png"), image);
    }
    return first;
  }

  testing::TempDir dir_;
  std::unique_ptr<testing::ReplicaProcess> replica_;
  std::unique_ptr<v1::Pools::Stub> pools_;
  uint32_t seed_ = 1;
  int64_t bytes_ = 0;  // of all images written
};

TEST_F(MemoryTest, IngestsAndTakedownsLeaveNothingOfTheirShards) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers' malloc keeps what is free";
#endif
  const int64_t before = replica_->private_bytes();
  for (const char* folder : {"a", "b", "c"}) {
    const std::string first = WriteImages(folder, 60);
    ASSERT_OK(Ingest(dir_ / folder));
    ASSERT_OK(TakeDown(first));
  }
  ASSERT_GT(bytes_, int64_t{18} << 20) << "then this tests nothing";
  EXPECT_TRUE(FallsTo(before + bytes_ / 8)) << replica_->private_bytes() - before;
}

}  // namespace
}  // namespace seer::dataservice
