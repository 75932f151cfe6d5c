// The data service over real gRPC on port 0: ingest, catalogue, batches, faults.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/objectstore/local_store.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/server.h"
#include "seer/v1/batches.grpc.pb.h"
#include "seer/v1/pools.grpc.pb.h"
#include "tests/support/image_files.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

namespace fs = std::filesystem;
using testing::MakeJpeg;
using testing::MakePng;
using testing::WriteFile;

class DataServiceTest : public ::testing::Test {
 protected:
  void SetUp() override { server_ = Start(2); }

  std::unique_ptr<DataServer> Start(int threads) {
    ServerConfig config;
    config.listen = "127.0.0.1:0";
    config.pools = dir_ / "pools";
    config.threads = threads;
    auto server = DataServer::Start(config);
    EXPECT_TRUE(server.ok()) << server.status();
    return std::move(*server);
  }

  std::unique_ptr<v1::Pools::Stub> Pools() {
    return v1::Pools::NewStub(MakeChannel({absl::StrCat("127.0.0.1:", server_->port())}));
  }

  absl::Status Create(const std::string& pool) {
    grpc::ClientContext context;
    v1::CreatePoolRequest request;
    request.set_pool_id(pool);
    v1::Pool answer;
    return FromGrpc(Pools()->CreatePool(&context, request, &answer));
  }

  absl::StatusOr<v1::IngestProgress> Ingest(const std::string& pool,
                                            const std::vector<std::string>& sources,
                                            bool labels = false) {
    grpc::ClientContext context;
    v1::IngestPoolRequest request;
    request.set_name("pools/" + pool);
    for (const auto& source : sources) request.add_sources(source);
    request.set_labels_from_folders(labels);
    const auto stub = Pools();
    auto stream = stub->IngestPool(&context, request);
    v1::IngestProgress progress, last;
    while (stream->Read(&progress)) last = progress;
    const absl::Status status = FromGrpc(stream->Finish());
    if (!status.ok()) return status;
    EXPECT_TRUE(last.done());
    return last;
  }

  // A pool of `images` PNG and JPEG images.
  void MakePool(const std::string& pool, int images) {
    for (int i = 0; i < images; ++i) {
      const std::string name = absl::StrCat("images/", pool, "/", 1000 + i);
      WriteFile(dir_ / (name + (i % 2 == 0 ? ".png" : ".jpg")),
                i % 2 == 0 ? MakePng(20 + i % 7, 24, i) : MakeJpeg(40, 30 + i % 5, i));
    }
    ASSERT_TRUE(Create(pool).ok());
    const auto ingested = Ingest(pool, {dir_ / ("images/" + pool)});
    ASSERT_TRUE(ingested.ok()) << ingested.status();
    EXPECT_EQ(ingested->pool().images(), images);
  }

  static v1::StreamBatchesRequest Request(const std::string& pool, int64_t steps, int64_t batch) {
    v1::StreamBatchesRequest request;
    request.set_pool("pools/" + pool);
    request.add_data_plan()->set_generation(1);
    request.set_seed(7);
    request.set_end_step(steps);
    request.set_world_size(1);
    request.set_global_batch(batch);
    request.set_order(v1::SAMPLE_ORDER_SHUFFLED);
    for (const auto& [views, size, low, high] :
         {std::tuple(2, 16, 0.4, 1.0), std::tuple(1, 8, 0.1, 0.4)}) {
      auto& crop = *request.add_crops();
      crop.set_views(views);
      crop.set_size(size);
      crop.set_min_scale(low);
      crop.set_max_scale(high);
      crop.set_flip_probability(0.5);
    }
    request.set_max_bad_ratio(0.01);
    return request;
  }

  static absl::Status Stream(DataServer& server, const v1::StreamBatchesRequest& request,
                             std::vector<v1::BatchMessage>& out) {
    grpc::ClientContext context;
    const auto stub =
        v1::Batches::NewStub(MakeChannel({absl::StrCat("127.0.0.1:", server.port())}));
    auto stream = stub->StreamBatches(&context, request);
    v1::BatchMessage message;
    while (stream->Read(&message)) out.push_back(message);
    return FromGrpc(stream->Finish());
  }

  std::vector<v1::BatchMessage> Stream(const v1::StreamBatchesRequest& request) {
    std::vector<v1::BatchMessage> messages;
    const absl::Status status = Stream(*server_, request, messages);
    EXPECT_TRUE(status.ok()) << status;
    return messages;
  }

  testing::TempDir dir_;
  std::unique_ptr<DataServer> server_;
};

TEST_F(DataServiceTest, BatchesArePureFunctionsOfTheRequest) {
  MakePool("p", 50);
  const auto request = Request("p", 6, 16);
  const auto first = Stream(request);
  ASSERT_EQ(first.size(), 6);
  EXPECT_EQ(first[3].step(), 3);
  EXPECT_EQ(first[3].first_sample(), 48);
  EXPECT_EQ(first[0].crops(0).pixels().size(), 2u * 16 * 16 * 16 * 3);
  EXPECT_EQ(first[0].image_ids().size(), 16u * 32);
  const auto other = Start(1);  // another replica, another number of threads
  std::vector<v1::BatchMessage> second;
  ASSERT_TRUE(Stream(*other, request, second).ok());
  for (size_t i = 0; i < first.size(); ++i)
    EXPECT_EQ(first[i].SerializeAsString(), second[i].SerializeAsString()) << i;
  auto later = request;  // resumed in the middle of an epoch
  later.set_first_step(4);
  const auto rest = Stream(later);
  ASSERT_EQ(rest.size(), 2);
  EXPECT_EQ(rest[0].SerializeAsString(), first[4].SerializeAsString());
  auto seeded = request;
  seeded.set_seed(8);
  EXPECT_NE(Stream(seeded)[0].image_ids(), first[0].image_ids());
}

TEST_F(DataServiceTest, EveryWorldSizeSeesTheSameGlobalBatches) {
  MakePool("p", 30);
  const auto whole = Stream(Request("p", 4, 8));
  for (const int world : {2, 4}) {
    std::vector<std::string> ids(4), pixels(4);
    for (int rank = 0; rank < world; ++rank) {
      auto request = Request("p", 4, 8);
      request.set_world_size(world);
      request.set_rank(rank);
      const auto part = Stream(request);
      for (size_t step = 0; step < part.size(); ++step) {
        ids[step] += part[step].image_ids();
        pixels[step] += part[step].crops(1).pixels();  // one view: its rows are the samples
      }
    }
    for (size_t step = 0; step < 4; ++step) {
      EXPECT_EQ(ids[step], whole[step].image_ids());
      EXPECT_EQ(pixels[step], whole[step].crops(1).pixels());
    }
  }
}

TEST_F(DataServiceTest, EachImageComesOnceAnEpoch) {
  MakePool("p", 40);
  std::multiset<std::string> seen;
  for (const auto& message : Stream(Request("p", 5, 8))) {
    for (int i = 0; i < 8; ++i)
      seen.insert(message.image_ids().substr(static_cast<size_t>(i) * 32, 32));
  }
  EXPECT_EQ(seen.size(), 40);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 40);
}

TEST_F(DataServiceTest, OneEpochInOrderWithLabels) {
  testing::WriteLabelledFolder(dir_ / "labelled", 3, 5, 12);
  ASSERT_TRUE(Create("l").ok());
  const auto ingested = Ingest("l", {dir_ / "labelled"}, /*labels=*/true);
  ASSERT_TRUE(ingested.ok()) << ingested.status();
  EXPECT_EQ(ingested->pool().classes(), 3);
  EXPECT_EQ(ingested->pool().labelled_images(), 15);
  auto request = Request("l", 1000, 4);
  request.set_order(v1::SAMPLE_ORDER_SEQUENTIAL);
  request.set_one_epoch(true);
  request.clear_crops();
  request.add_crops()->set_center(true);
  request.mutable_crops(0)->set_views(1);
  request.mutable_crops(0)->set_size(12);
  std::vector<int> labels;
  for (const auto& message : Stream(request))
    labels.insert(labels.end(), message.labels().begin(), message.labels().end());
  EXPECT_EQ(labels, (std::vector<int>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2}));
}

TEST_F(DataServiceTest, BadFilesAreQuarantinedWithTheirReason) {
  WriteFile(dir_ / "bad/1-text.jpg", "this is not an image");
  WriteFile(dir_ / "bad/2-empty.png", "");
  const std::string jpeg = MakeJpeg(64, 64, 1);
  WriteFile(dir_ / "bad/3-truncated.jpg", jpeg.substr(0, jpeg.size() / 2));
  WriteFile(dir_ / "bad/4-bomb.png", testing::MakePngBomb(30000, 30000));
  WriteFile(dir_ / "bad/5-good.jpg", jpeg);
  ASSERT_TRUE(Create("p").ok());
  const auto ingested = Ingest("p", {dir_ / "bad"});
  ASSERT_TRUE(ingested.ok()) << ingested.status();
  EXPECT_EQ(ingested->pool().images(), 1);
  EXPECT_EQ(ingested->images_quarantined(), 4);
  grpc::ClientContext context;
  v1::ListQuarantineRequest request;
  request.set_name("pools/p");
  v1::ListQuarantineResponse response;
  ASSERT_TRUE(Pools()->ListQuarantine(&context, request, &response).ok());
  std::vector<std::string> reasons;
  for (const auto& image : response.images()) reasons.push_back(image.reason());
  EXPECT_EQ(reasons, (std::vector<std::string>{"UNKNOWN_FORMAT", "UNKNOWN_FORMAT",
                                               "IMAGE_TRUNCATED", "IMAGE_TOO_LARGE"}));
}

TEST_F(DataServiceTest, ErrorsSayWhatAndWhatNext) {
  EXPECT_TRUE(HasReason(Ingest("nowhere", {dir_.path().string()}).status(), reason::kPoolNotFound));
  ASSERT_TRUE(Create("p").ok());
  EXPECT_TRUE(HasReason(Create("p"), reason::kPoolExists));
  EXPECT_EQ(Create("Not A Name").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(HasReason(Ingest("p", {dir_ / "absent"}).status(), reason::kSourceNotFound));
  fs::create_directories(dir_ / "empty");
  EXPECT_TRUE(HasReason(Ingest("p", {dir_ / "empty"}).status(), reason::kSourceEmpty));
  WriteFile(dir_ / "only-bad/a.jpg", "text");
  const absl::Status nothing = Ingest("p", {dir_ / "only-bad"}).status();
  EXPECT_TRUE(HasReason(nothing, reason::kSourceEmpty));
  EXPECT_TRUE(absl::StrContains(nothing.message(), "could not be decoded")) << nothing;
  std::vector<v1::BatchMessage> none;
  EXPECT_TRUE(HasReason(Stream(*server_, Request("p", 1, 4), none), reason::kGenerationNotFound));
  auto request = Request("p", 1, 4);
  request.mutable_crops(0)->set_size(0);
  const absl::Status bad = Stream(*server_, request, none);
  EXPECT_EQ(bad.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetErrorDetail(bad)->field, "crops.size");
}

TEST_F(DataServiceTest, ARepeatedCreateRequestGivesThePoolThatItMade) {
  v1::CreatePoolRequest request;
  request.set_pool_id("p");
  request.set_request_id("request-1");
  const auto create = [&] {
    grpc::ClientContext context;
    v1::Pool pool;
    return FromGrpc(Pools()->CreatePool(&context, request, &pool));
  };
  EXPECT_TRUE(create().ok());
  EXPECT_TRUE(create().ok());
  request.set_request_id("request-2");
  EXPECT_TRUE(HasReason(create(), reason::kPoolExists));
}

TEST_F(DataServiceTest, IngestingTheSameFilesAgainAddsNothing) {
  MakePool("p", 10);
  const auto again = Ingest("p", {dir_ / "images/p"});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->images_added(), 0);
  EXPECT_EQ(again->pool().generation(), 1);
  WriteFile(dir_ / "images/p/9999.png", MakePng(9, 9, 99));
  EXPECT_EQ(Ingest("p", {dir_ / "images/p"})->pool().generation(), 2);
  EXPECT_EQ(Stream(Request("p", 1, 8)).size(), 1);  // generation 1 is still served
}

TEST_F(DataServiceTest, DamagedBytesAreReplacedAndBoundedByTheJob) {
  MakePool("p", 20);
  for (const auto& entry : fs::directory_iterator(dir_ / "pools/p/shards")) {
    std::fstream shard(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    shard.seekp(700);  // inside the first image
    shard.write("damage", 6);
  }
  auto request = Request("p", 5, 4);
  const auto messages = Stream(request);
  int substituted = 0;
  for (const auto& message : messages) substituted += message.substituted_size();
  EXPECT_EQ(substituted, 1);
  // The same substitute.
  EXPECT_EQ(Stream(request)[0].SerializeAsString(), messages[0].SerializeAsString());
  request.set_max_bad_ratio(0);
  std::vector<v1::BatchMessage> some;
  const absl::Status failed = Stream(*server_, request, some);
  EXPECT_EQ(failed.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(HasReason(failed, reason::kTooManyBadImages)) << failed;
}

TEST_F(DataServiceTest, ACommittedManifestCountsWithoutCurrent) {
  MakePool("p", 5);
  fs::remove(dir_ / "pools/p/CURRENT");  // the writer died between the two
  grpc::ClientContext context;
  v1::GetPoolRequest request;
  request.set_name("pools/p");
  v1::Pool pool;
  ASSERT_TRUE(Pools()->GetPool(&context, request, &pool).ok());
  EXPECT_EQ(pool.generation(), 1);
}

TEST_F(DataServiceTest, OfTwoWritersOneIsTold) {
  MakePool("p", 5);
  auto objects = OpenLocalStore(dir_ / "pools");
  ASSERT_TRUE(objects.ok());
  PoolStore store(**objects, Clock::Real());
  Manifest mine = *store.ReadManifest("p", 1);
  mine.generation = 2;
  Manifest theirs = mine;
  const auto rows = store.ReadRows("p", *store.ReadManifest("p", 1));
  ASSERT_TRUE(rows.ok());
  EXPECT_TRUE(store.Commit("p", theirs, *rows).ok());
  const absl::Status lost = store.Commit("p", mine, *rows);
  EXPECT_EQ(lost.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(HasReason(lost, reason::kPoolWriteConflict));
}

TEST_F(DataServiceTest, SecondServerOnThePortIsTold) {
  ServerConfig config;
  config.listen = absl::StrCat("127.0.0.1:", server_->port());
  config.pools = dir_ / "pools";
  const auto second = DataServer::Start(config);
  EXPECT_TRUE(HasReason(second.status(), reason::kPortInUse)) << second.status();
}

TEST_F(DataServiceTest, ReadsRealTarShards) {
  const char* source_dir = std::getenv("SEER_SOURCE_DIR");
  const fs::path shard =
      fs::path(source_dir == nullptr ? "." : source_dir) / "../shared/data/cifar10-test-0000.tar";
  if (!fs::exists(shard)) GTEST_SKIP() << shard << " is absent";
  ASSERT_TRUE(Create("cifar").ok());
  const auto ingested = Ingest("cifar", {shard.string()});
  ASSERT_TRUE(ingested.ok()) << ingested.status();
  EXPECT_EQ(ingested->pool().images(), 1000);
  EXPECT_EQ(ingested->pool().classes(), 10);
}

}  // namespace
}  // namespace seer::dataservice
