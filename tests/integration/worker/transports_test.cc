// One rank's batches over each way they may come: messages, shared memory, made in this process.
// Real data services, in this process or, to be killed, in ones of their own.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/thread.h"
#include "common/batches/slots.h"
#include "common/metrics/registry.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/batches.grpc.pb.h"
#include "seer/v1/pools.grpc.pb.h"
#include "tests/integration/dataservice/pool_client.h"
#include "tests/support/image_files.h"
#include "tests/support/replica_process.h"
#include "tests/support/s3_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "worker/trainer/batch_sources.h"
#include "worker/trainer/batch_stream.h"
#include "worker/trainer/local_batches.h"

namespace seer::worker {
namespace {

namespace fs = std::filesystem;
using dataservice::BatchesOf;
using dataservice::DataServer;
using dataservice::MetricsOf;
using dataservice::ServerConfig;
using testing::FailsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;

constexpr absl::Duration kDeadline = absl::Seconds(60);

class TransportsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(dir_ / "shm");
    server_ = Start();
    for (int i = 0; i < 50; ++i) {
      testing::WriteFile(
          dir_ / absl::StrCat("images/", 100 + i, i % 2 == 0 ? ".png" : ".jpg"),
          i % 2 == 0 ? testing::MakePng(20 + i % 7, 24, i) : testing::MakeJpeg(40, 30 + i % 5, i));
    }
    ASSERT_OK(dataservice::CreatePool(*server_, "p"));
    ASSERT_OK(dataservice::IngestPool(*server_, "p", {dir_ / "images"}));
  }
  std::unique_ptr<DataServer> Start() {
    ServerConfig config;
    config.listen = "127.0.0.1:0";
    config.pools = dir_ / "pools";
    config.threads = 2;
    config.slot_folder = dir_ / "shm";
    auto server = DataServer::Start(config);
    EXPECT_OK(server);
    return *std::move(server);
  }
  static std::string AddressOf(const DataServer& server) {
    return absl::StrCat("127.0.0.1:", server.port());
  }
  BatchStreamOptions Options() const {
    return {.replicas = {AddressOf(*server_)}, .slot_folder = dir_ / "shm"};
  }
  // What any client gets.
  std::vector<engine::Batch> Expected(const v1::StreamBatchesRequest& request) {
    const auto messages = dataservice::StreamBatches(*server_, request);
    EXPECT_OK(messages);
    std::vector<engine::Batch> batches;
    for (const v1::BatchMessage& message : *messages) {
      engine::Batch& batch = batches.emplace_back();
      batch.step = message.step();
      batch.first_sample = message.first_sample();
      for (const v1::CropTensor& crop : message.crops())
        batch.crops.push_back({crop.views(), crop.samples(), crop.size(), crop.pixels()});
      for (size_t at = 0; at < message.image_ids().size(); at += 32) {
        auto& id = batch.image_ids.emplace_back();
        std::copy_n(message.image_ids().begin() + static_cast<ptrdiff_t>(at), 32, id.begin());
      }
      batch.labels.assign(message.labels().begin(), message.labels().end());
    }
    return batches;
  }
  static void ExpectSame(const absl::StatusOr<engine::Batch>& got, const engine::Batch& expected) {
    ASSERT_OK(got);
    EXPECT_EQ(got->step, expected.step);
    EXPECT_EQ(got->first_sample, expected.first_sample);
    EXPECT_EQ(got->image_ids, expected.image_ids);
    EXPECT_EQ(got->labels, expected.labels);
    ASSERT_EQ(got->crops.size(), expected.crops.size());
    for (size_t i = 0; i < expected.crops.size(); ++i) {
      const auto &a = got->crops[i], &b = expected.crops[i];
      EXPECT_EQ(std::tuple(a.views, a.samples, a.size), std::tuple(b.views, b.samples, b.size));
      EXPECT_TRUE(a.pixels.bytes() == b.pixels.bytes()) << "step " << expected.step;
    }
  }
  static void ExpectBatches(engine::BatchSource& source,
                            const std::vector<engine::Batch>& expected) {
    for (const engine::Batch& batch : expected) ExpectSame(source.Next(), batch);
    EXPECT_THAT(source.Next(), StatusIs(absl::StatusCode::kOutOfRange));
  }
  bool WaitForMetric(const std::string& line) {
    const absl::Time end = absl::Now() + kDeadline;
    while (MetricsOf(*server_).find(line) == std::string::npos) {
      if (absl::Now() > end) return false;
      absl::SleepFor(absl::Milliseconds(10));  // a page gives no event
    }
    return true;
  }
  std::vector<std::string> LeftInMemory() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_ / "shm"))
      names.push_back(entry.path().filename());
    return names;
  }

  testing::TempDir dir_;
  std::unique_ptr<DataServer> server_;
};

TEST_F(TransportsTest, TheBitsAreTheSameHoweverTheyCome) {
  auto request = BatchesOf("p", 40, 12);
  request.set_rank(1);
  request.set_world_size(3);
  request.set_first_step(3);
  const auto expected = Expected(request);
  ASSERT_EQ(expected.size(), 37u);
  BatchStreamOptions options = Options();
  {
    BatchStream shared(request, options);
    ExpectSame(shared.Next(), expected[0]);
    EXPECT_THAT(LeftInMemory(), IsEmpty()) << "what a killed trainer would leave";
    for (size_t i = 1; i < expected.size(); ++i) ExpectSame(shared.Next(), expected[i]);
    EXPECT_THAT(shared.Next(), StatusIs(absl::StatusCode::kOutOfRange));
  }
  EXPECT_THAT(MetricsOf(*server_), HasSubstr(absl::StrCat("transport=\"shared_memory\"} ",
                                                          37 * 4 * (2 * 16 * 16 + 8 * 8) * 3)));
  options.shared_memory = false;
  BatchStream messages(request, options);
  ExpectBatches(messages, expected);

  MetricsRegistry registry;
  ASSERT_OK_AND_ASSIGN(const auto pools, LocalPools::Open(dir_ / "pools", "p", 2, registry));
  ExpectBatches(*pools->Batches(request), expected);
  EXPECT_THAT(registry.Render(), HasSubstr("seer_data_images_total 148"));
}

TEST_F(TransportsTest, AnEpochEndsHoweverItComes) {
  auto request = BatchesOf("p", 1 << 20, 16);
  request.set_order(v1::SAMPLE_ORDER_SEQUENTIAL);
  request.set_one_epoch(true);
  const auto expected = Expected(request);
  ASSERT_EQ(expected.size(), 4u);
  EXPECT_EQ(expected[3].labels.size(), 2u) << "the last batch is short";
  BatchStream shared(request, Options());
  ExpectBatches(shared, expected);
  MetricsRegistry registry;
  ASSERT_OK_AND_ASSIGN(const auto pools, LocalPools::Open(dir_ / "pools", "p", 2, registry));
  ExpectBatches(*pools->Batches(request), expected);
}

TEST_F(TransportsTest, BatchesInSharedMemoryStayWhileTheyAreHeld) {
  const auto request = BatchesOf("p", 30, 8);
  const auto expected = Expected(request);
  BatchStreamOptions options = Options();
  options.prefetch_steps = 2;
  auto stream = std::make_unique<BatchStream>(request, options);
  std::vector<engine::Batch> held;
  for (int i = 0; i < 4; ++i) {  // of 5 slots
    ASSERT_OK_AND_ASSIGN(held.emplace_back(), stream->Next());
  }
  for (int i = 4; i < 20; ++i) ExpectSame(stream->Next(), expected[static_cast<size_t>(i)]);
  stream = nullptr;
  for (size_t i = 0; i < held.size(); ++i) ExpectSame(held[i], expected[i]);
}

TEST_F(TransportsTest, WithoutSharedMemoryBatchesComeInMessages) {
  const auto request = BatchesOf("p", 10, 8);
  const auto expected = Expected(request);
  BatchStreamOptions none = Options(), elsewhere = Options();
  none.slot_folder = dir_ / "absent";
  BatchStream without_folder(request, none);
  ExpectBatches(without_folder, expected);
  fs::create_directories(dir_ / "another machine's");
  elsewhere.slot_folder = dir_ / "another machine's";
  BatchStream far_away(request, elsewhere);
  ExpectBatches(far_away, expected);
  EXPECT_THAT(MetricsOf(*server_), ::testing::Not(HasSubstr("transport=\"shared_memory\"")));
  EXPECT_TRUE(fs::is_empty(dir_ / "another machine's"));
}

TEST_F(TransportsTest, AFolderThatIsTooSmallIsPassedOver) {
  const auto request = BatchesOf("p", 10, 8);
  const auto expected = Expected(request);
  bool mounted = false;
  // A file system of 64 KiB that only this thread, and the reader it starts, sees.
  Thread reader("reader", [&] {
    const std::string folder = dir_ / "shm";
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") != 0) {
      return;
    }
    mounted = true;
    BatchStream stream(request, Options());
    ExpectBatches(stream, expected);
    EXPECT_THAT(LeftInMemory(), IsEmpty());
  });
  reader.Join();
  if (!mounted) GTEST_SKIP() << "mounting is not allowed here";
  EXPECT_THAT(MetricsOf(*server_), ::testing::Not(HasSubstr("transport=\"shared_memory\"")));
}

// The number of slots is what bounds both sides' memory; the replica sleeps meanwhile.
TEST_F(TransportsTest, AReaderThatHoldsAllSlotsIsWaitedFor) {
  auto request = BatchesOf("p", 1 << 20, 8);
  ASSERT_OK_AND_ASSIGN(const auto file, SlotFile::Create(dir_ / "shm", 3, 1 << 20));
  *request.mutable_shared_memory() = file->request();
  grpc::ClientContext context;
  const auto stub = v1::Batches::NewStub(MakeChannel({AddressOf(*server_)}));
  const auto stream = stub->StreamBatches(&context, request);
  v1::BatchMessage message;
  std::vector<std::shared_ptr<const uint8_t>> held;
  std::set<int> slots;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream->Read(&message));
    EXPECT_EQ(message.crops(0).pixels(), "");
    slots.insert(message.slot());
    ASSERT_OK_AND_ASSIGN(held.emplace_back(), file->Take(message.slot()));
  }
  EXPECT_EQ(slots.size(), 3u);
  EXPECT_TRUE(WaitForMetric("seer_data_buffer_batches 0"));
  held[1] = nullptr;  // it was slot 2
  ASSERT_TRUE(stream->Read(&message));
  EXPECT_EQ(message.slot(), 2);
  // And the replica notices that the reader is gone, though no slot comes back.
  ASSERT_OK_AND_ASSIGN(held[1], file->Take(2));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(WaitForMetric("seer_rpc_in_flight{method=\"seer.v1.Batches/StreamBatches\"} 0"));
}

TEST_F(TransportsTest, SharedMemoryThatIsCutShortHarmsNobodyElse) {
  auto request = BatchesOf("p", 1 << 20, 8);
  ASSERT_OK_AND_ASSIGN(const auto file, SlotFile::Create(dir_ / "shm", 3, 1 << 20));
  *request.mutable_shared_memory() = file->request();
  grpc::ClientContext context;
  const auto stub = v1::Batches::NewStub(MakeChannel({AddressOf(*server_)}));
  const auto stream = stub->StreamBatches(&context, request);
  v1::BatchMessage message;
  ASSERT_TRUE(stream->Read(&message));
  ASSERT_EQ(truncate((dir_ / ("shm/" + file->request().name())).c_str(), 0), 0);
  while (stream->Read(&message)) {
  }
  const absl::Status ended = FromGrpc(stream->Finish());
  EXPECT_THAT(ended, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(ended.message(), HasSubstr("cut short"));
  const auto other = BatchesOf("p", 5, 8);
  BatchStream stream_of_another(other, Options());
  ExpectBatches(stream_of_another, Expected(other));
}

TEST_F(TransportsTest, ARequestForSharedMemoryIsChecked) {
  auto request = BatchesOf("p", 5, 8);
  request.mutable_shared_memory()->set_name("../../etc/passwd");
  const auto refused = dataservice::StreamBatches(*server_, request);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(GetErrorDetail(refused.status()).value_or(ErrorDetail()).field, "shared_memory.name");
}

TEST_F(TransportsTest, AReplicaThatIsKilledIsLeftForAnotherWithTheSameBatches) {
  const auto request = BatchesOf("p", 60, 12);
  const auto expected = Expected(request);
  testing::ReplicaProcess first(dir_ / "pools", dir_ / "first"),
      second(dir_ / "pools", dir_ / "second");
  BatchStreamOptions options;  // in the machine's own folder
  options.replicas = {first.address(), second.address()};
  BatchStream stream(request, options);
  std::vector<engine::Batch> held;
  for (size_t i = 0; i < 20; ++i) {
    ASSERT_OK_AND_ASSIGN(held.emplace_back(), stream.Next());
    ExpectSame(held.back(), expected[i]);
    if (held.size() == 3) held.erase(held.begin());
  }
  first.Kill();
  for (size_t i = 20; i < expected.size(); ++i) ExpectSame(stream.Next(), expected[i]);
  ExpectSame(held[0], expected[18]);  // the dead replica's memory
  ExpectSame(held[1], expected[19]);
}

TEST_F(TransportsTest, ATakedownIsNoticedInTheTrainer) {
  auto request = BatchesOf("p", 1'000'000, 10);
  request.set_max_bad_ratio(0);
  MetricsRegistry registry;
  ASSERT_OK_AND_ASSIGN(const auto pools, LocalPools::Open(dir_ / "pools", "p", 2, registry));
  const auto batches = pools->Batches(request);
  ASSERT_OK_AND_ASSIGN(const engine::Batch first, batches->Next());
  const auto taken = first.image_ids[0];
  v1::TakeDownImagesRequest takedown;
  takedown.set_name("pools/p");
  takedown.add_image_ids(ToHex({reinterpret_cast<const char*>(taken.data()), taken.size()}));
  takedown.set_reason("asked for");
  {
    grpc::ClientContext context;
    const auto stub = v1::Pools::NewStub(MakeChannel({AddressOf(*server_)}));
    const auto stream = stub->TakeDownImages(&context, takedown);
    v1::TakedownProgress progress;
    while (stream->Read(&progress)) {
    }
    ASSERT_OK(FromGrpc(stream->Finish()));
  }
  // Once the record has been read, it is in none of an epoch's batches.
  const absl::Time end = absl::Now() + kDeadline;
  int without = 0;
  while (without < 10 && absl::Now() < end) {
    ASSERT_OK_AND_ASSIGN(const engine::Batch batch, batches->Next());
    ++without;
    for (const auto& id : batch.image_ids)
      if (id == taken) without = 0;
  }
  EXPECT_EQ(without, 10);
}

TEST_F(TransportsTest, WhatIsWrongWithAPoolIsSaidInTheTrainerToo) {
  MetricsRegistry registry;
  ASSERT_OK_AND_ASSIGN(const auto pools, LocalPools::Open(dir_ / "pools", "p", 1, registry));
  auto request = BatchesOf("p", 10, 10);
  request.mutable_data_plan(0)->set_generation(9);
  const auto source = pools->Batches(request);
  const auto missing = FailsWith(absl::StatusCode::kNotFound, reason::kGenerationNotFound, "9");
  EXPECT_THAT(source->Next(), missing);
  EXPECT_THAT(source->Next(), missing) << "an error is final";
  request = BatchesOf("p", 10, 10);
  request.mutable_crops(0)->set_size(0);
  EXPECT_THAT(pools->Batches(request)->Next(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TransportsTest, AJobSaysWhichWayItsBatchesCome) {
  v1::JobSpec spec;
  internal::v1::Assign assign;
  assign.set_world_size(1);
  assign.set_storage_uri("file:///storage");
  const auto request = BatchesOf("p", 6, 10);
  const auto expected = Expected(request);
  MetricsRegistry registry;
  for (const auto transport :
       {v1::DATA_TRANSPORT_AUTO, v1::DATA_TRANSPORT_GRPC, v1::DATA_TRANSPORT_IN_TRAINER}) {
    spec.mutable_data()->set_transport(transport);
    assign.clear_dataservice_addresses();
    const auto none =
        FailsWith(absl::StatusCode::kUnavailable, reason::kServiceUnreachable, "names no replica");
    if (transport == v1::DATA_TRANSPORT_IN_TRAINER) {
      EXPECT_THAT(BatchSources::Create(spec, assign, "p", registry), none);
    }
    assign.add_dataservice_addresses(AddressOf(*server_));
    ASSERT_OK_AND_ASSIGN(const auto sources, BatchSources::Create(spec, assign, "p", registry));
    ExpectBatches(*sources->Open(request), expected);
  }
  EXPECT_THAT(registry.Render(), HasSubstr("seer_data_batches_total 6"))
      << "the last one's were made here";
}

// As the data service's: tests/integration/dataservice/s3_pool_test.cc has the other faults.
TEST_F(TransportsTest, InTheTrainerAPoolInS3GivesTheSameBitsUnderFaults) {
  auto request = BatchesOf("p", 12, 10);
  request.set_rank(1);
  request.set_world_size(2);
  const auto expected = Expected(request);
  testing::UseCredentials();
  const testing::S3Server s3;
  const std::string root = s3.Uri("pools");
  {
    ASSERT_OK_AND_ASSIGN(const auto service, dataservice::StartServer(root));
    ASSERT_OK(dataservice::CreatePool(*service, "p"));
    ASSERT_OK(dataservice::IngestPool(*service, "p", {dir_ / "images"}));
  }
  for (const char* fault : {"error_500", "slow_down", "reset", "truncate", "short"}) {
    s3.SetFaults(absl::StrCat(R"({")", fault, R"(": 0.2})"));
    MetricsRegistry registry;
    ASSERT_OK_AND_ASSIGN(const auto pools, LocalPools::Open(root, "p", 2, registry));
    ExpectBatches(*pools->Batches(request), expected);
    EXPECT_GT(s3.Count(fault), 0) << fault;
  }
  s3.SetFaults("{}");
  testing::UseCredentials(testing::S3Server::kAccessKey, "another");
  MetricsRegistry registry;
  const auto refused = LocalPools::Open(root, "p", 1, registry);
  EXPECT_TRUE(HasReason(refused.status(), reason::kStorageCredentialsRefused)) << refused.status();
  EXPECT_EQ(GetErrorDetail(refused.status()).value_or(ErrorDetail()).field, "data.transport");
  testing::UseCredentials();
}

TEST(LocalPools, StorageThatCannotBeReadIsSaidWithTheWayOut) {
  MetricsRegistry registry;
  testing::TempDir not_mounted;
  for (const std::string& root : {std::string("file:///nowhere/pools"), not_mounted / ""}) {
    const auto pools = LocalPools::Open(root, "p", 1, registry);
    ASSERT_FALSE(pools.ok()) << root;
    EXPECT_THAT(pools.status().message(),
                HasSubstr(absl::StrCat("this rank cannot read pool p in ", root)));
    const ErrorDetail detail = GetErrorDetail(pools.status()).value_or(ErrorDetail());
    EXPECT_EQ(detail.field, "data.transport");
    EXPECT_THAT(detail.hint, HasSubstr("set data.transport to auto"));
  }
}

TEST(LocalPools, CloudStorageOfOneKindIsReachedWithTheSameParameters) {
  EXPECT_EQ(PoolsRoot("file:///data/pools/p", "p", "s3://b/storage?region=x"),
            "file:///data/pools");
  EXPECT_EQ(PoolsRoot("s3://b/pools/p", "p", "s3://b/storage?region=x"), "s3://b/pools?region=x");
  EXPECT_EQ(PoolsRoot("s3://b/pools/p", "p", "s3://b/storage"), "s3://b/pools");
  EXPECT_EQ(PoolsRoot("gs://b/pools/p", "p", "s3://b/storage?region=x"), "gs://b/pools");
}

}  // namespace
}  // namespace seer::worker
