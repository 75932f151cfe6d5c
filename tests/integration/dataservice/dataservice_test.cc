// The data service over real gRPC on port 0: ingest, catalogue, batches, faults.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/objectstore/local_store.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/serve/stream_request.h"
#include "dataservice/server.h"
#include "seer/v1/pools.grpc.pb.h"
#include "tests/integration/dataservice/pool_client.h"
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
    auto server = StartServer(dir_ / "pools", threads);
    EXPECT_TRUE(server.ok()) << server.status();
    return std::move(*server);
  }

  std::unique_ptr<v1::Pools::Stub> Pools() {
    return v1::Pools::NewStub(MakeChannel({absl::StrCat("127.0.0.1:", server_->port())}));
  }

  absl::Status Create(const std::string& pool) { return CreatePool(*server_, pool); }

  absl::StatusOr<v1::IngestProgress> Ingest(const std::string& pool,
                                            const std::vector<std::string>& sources,
                                            bool labels = false) {
    auto last = IngestPool(*server_, pool, sources, labels);
    EXPECT_TRUE(!last.ok() || last->done());
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
    return BatchesOf(pool, steps, batch);
  }

  static absl::Status Stream(DataServer& server, const v1::StreamBatchesRequest& request,
                             std::vector<v1::BatchMessage>& out) {
    SEER_ASSIGN_OR_RETURN(out, StreamBatches(server, request));
    return absl::OkStatus();
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

TEST_F(DataServiceTest, AStreamIsResumedAtAnotherWorldSizeWithTheSameImages) {
  MakePool("p", 50);
  const auto whole = Stream(Request("p", 12, 16));  // four epochs, the seams within steps
  int64_t first = 0;
  for (const auto& [end, world] : {std::pair(5, 2), {6, 8}, {11, 1}, {12, 4}}) {
    std::vector<std::string> ids(12);
    for (int rank = 0; rank < world; ++rank) {
      auto request = Request("p", end, 16);
      request.set_first_step(first);
      request.set_world_size(world);
      request.set_rank(rank);
      for (const auto& message : Stream(request)) ids[message.step()] += message.image_ids();
    }
    for (; first < end; ++first) EXPECT_EQ(ids[first], whole[first].image_ids()) << first;
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
  const auto reasons = QuarantineReasons(*server_, "p");
  ASSERT_TRUE(reasons.ok()) << reasons.status();
  EXPECT_EQ(*reasons, (std::vector<std::string>{"UNKNOWN_FORMAT", "UNKNOWN_FORMAT",
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

TEST_F(DataServiceTest, CropsFarLargerThanEveryImageAreRefused) {
  testing::WriteLabelledFolder(dir_ / "small", 1, 3, 12);
  ASSERT_TRUE(Create("p").ok());
  ASSERT_TRUE(Ingest("p", {dir_ / "small"}).ok());
  std::vector<v1::BatchMessage> messages;
  auto request = Request("p", 1, 1);
  request.mutable_crops(0)->set_size(8 * 12);
  EXPECT_TRUE(Stream(*server_, request, messages).ok());
  request.mutable_crops(0)->set_size(8 * 12 + 1);
  const absl::Status refused = Stream(*server_, request, messages);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetErrorDetail(refused)->field, "augment.crops.size");
  EXPECT_TRUE(absl::StrContains(refused.message(), "12 pixels")) << refused;
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

TEST_F(DataServiceTest, AShardThatIsMissingEndsTheStreamByName) {
  MakePool("p", 20);
  const auto shard = fs::directory_iterator(dir_ / "pools/p/shards")->path();
  fs::remove(shard);
  std::vector<v1::BatchMessage> messages;
  const absl::Status status = Stream(*server_, Request("p", 2, 8), messages);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), shard.filename().string())) << status;
}

TEST_F(DataServiceTest, APoolOfOneImageFillsBatches) {
  MakePool("p", 1);
  const auto messages = Stream(Request("p", 2, 8));
  EXPECT_EQ(messages.size(), 2u);
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
  EXPECT_TRUE(store.Commit("p", theirs).ok());
  const absl::Status lost = store.Commit("p", mine);
  EXPECT_EQ(lost.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(HasReason(lost, reason::kPoolWriteConflict));
}

TEST_F(DataServiceTest, AGenerationHasItsParentsFilesAndNewOnes) {
  testing::WriteLabelledFolder(dir_ / "first", 3, 5, 12);
  testing::WriteLabelledFolder(dir_ / "second", 5, 2, 14);
  ASSERT_TRUE(Create("l").ok());
  ASSERT_TRUE(Ingest("l", {dir_ / "first"}, /*labels=*/true).ok());
  const auto second = Ingest("l", {dir_ / "second"}, /*labels=*/true);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->pool().generation(), 2);
  EXPECT_EQ(second->pool().images(), 25);
  EXPECT_EQ(second->pool().labelled_images(), 25);
  EXPECT_EQ(second->pool().classes(), 5);
  EXPECT_EQ(second->pool().formats().at("png"), 25);
  auto objects = OpenLocalStore(dir_ / "pools");
  ASSERT_TRUE(objects.ok());
  PoolStore store(**objects, Clock::Real());
  const auto parent = store.ReadManifest("l", 1), child = store.ReadManifest("l", 2);
  ASSERT_TRUE(parent.ok() && child.ok());
  ASSERT_EQ(parent->files.size(), 1);
  ASSERT_EQ(child->files.size(), 2);
  EXPECT_EQ(CatalogueKey("l", child->files[0]), CatalogueKey("l", parent->files[0]));
  const auto own = (*objects)->List("l/generations/2/");
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(own->size(), 3) << "the manifest and the new rows' files alone";
  EXPECT_EQ(child->files[1].rows, 10);
  EXPECT_EQ(
      child->size_bytes, parent->size_bytes + [&] {
        int64_t bytes = 0;
        for (const auto& entry : fs::recursive_directory_iterator(dir_ / "second"))
          if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
        return bytes;
      }());
  int rows = 0;
  for (const CatalogueFile& file : child->files) {
    ASSERT_TRUE(ForEachRow(**objects, CatalogueKey("l", file), [&](const CatalogueRow& row) {
                  EXPECT_EQ(row.added_in, rows < 15 ? 1 : 2);
                  ++rows;
                  return absl::OkStatus();
                }).ok());
  }
  EXPECT_EQ(rows, 25);
  auto request = Request("l", 1000, 4);
  request.mutable_data_plan(0)->set_generation(2);
  request.set_order(v1::SAMPLE_ORDER_SEQUENTIAL);
  request.set_one_epoch(true);
  std::vector<int> labels;
  for (const auto& message : Stream(request))
    labels.insert(labels.end(), message.labels().begin(), message.labels().end());
  EXPECT_EQ(labels, (std::vector<int>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2,
                                      2, 2, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4}));
}

TEST_F(DataServiceTest, DrawsWithReplacementRepeatAndMiss) {
  MakePool("p", 40);
  auto request = Request("p", 5, 8);
  request.set_order(v1::SAMPLE_ORDER_REPLACEMENT);
  std::set<std::string> seen;
  const auto messages = Stream(request);
  for (const auto& message : messages) {
    for (size_t i = 0; i < 8; ++i) seen.insert(message.image_ids().substr(i * 32, 32));
  }
  // 40 draws of 40 show 25 on average, deviation 2.
  EXPECT_GT(seen.size(), 15);
  EXPECT_LT(seen.size(), 35);
  EXPECT_EQ(Stream(request)[4].SerializeAsString(), messages[4].SerializeAsString());
}

TEST_F(DataServiceTest, AStepsSamplesAreThoseThatAreStreamed) {
  MakePool("p", 50);
  auto stream = Request("p", 6, 16);
  stream.mutable_crops(1)->set_interpolation(v1::INTERPOLATION_BICUBIC);
  const v1::BatchMessage message = Stream(stream)[4];
  v1::ListSamplesRequest request;
  request.set_name("pools/p");
  request.set_seed(7);
  request.set_step(4);
  request.set_global_batch(16);
  request.set_world_size(4);
  *request.mutable_crops() = stream.crops();
  request.set_page_size(5);
  std::vector<v1::Sample> samples;
  int pages = 0;
  while (true) {
    grpc::ClientContext context;
    v1::ListSamplesResponse response;
    const absl::Status listed = FromGrpc(Pools()->ListSamples(&context, request, &response));
    ASSERT_TRUE(listed.ok()) << listed;
    samples.insert(samples.end(), response.samples().begin(), response.samples().end());
    ++pages;
    if (response.next_page_token().empty()) break;
    request.set_page_token(response.next_page_token());
  }
  EXPECT_EQ(pages, 4);
  ASSERT_EQ(samples.size(), 16);
  for (int i = 0; i < 16; ++i) {
    const v1::Sample& sample = samples[static_cast<size_t>(i)];
    EXPECT_EQ(sample.sample_index(), 64 + i);
    EXPECT_EQ(sample.rank(), i / 4);
    EXPECT_EQ(
        sample.image_id(),
        ToHex(absl::string_view(message.image_ids()).substr(static_cast<size_t>(i) * 32, 32)));
    EXPECT_FALSE(sample.has_label());
    ASSERT_EQ(sample.views_size(), 3);
    EXPECT_EQ(sample.views(2).size(), 8);
    EXPECT_EQ(sample.views(1).interpolation(), v1::INTERPOLATION_BILINEAR);
    EXPECT_EQ(sample.views(2).interpolation(), v1::INTERPOLATION_BICUBIC);
    EXPECT_EQ(BoxOf(stream.crops(1), 7, 64 + i, 2, sample.width(), sample.height()),
              (CropBox{sample.views(2).x(), sample.views(2).y(), sample.views(2).width(),
                       sample.views(2).height(), sample.views(2).flip()}));
    // The bytes are where it says.
    std::ifstream shard(dir_ / ("pools/p/shards/" + sample.shard()), std::ios::binary);
    std::string bytes(static_cast<size_t>(sample.size_bytes()), '\0');
    shard.seekg(sample.offset());
    shard.read(bytes.data(), sample.size_bytes());
    EXPECT_EQ(Sha256Hex(bytes), sample.image_id());
  }
  request.clear_page_token();
  request.set_rank(2);
  request.set_page_size(0);
  grpc::ClientContext context;
  v1::ListSamplesResponse response;
  ASSERT_TRUE(Pools()->ListSamples(&context, request, &response).ok());
  ASSERT_EQ(response.samples_size(), 4);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(response.samples(i).SerializeAsString(),
              samples[static_cast<size_t>(8 + i)].SerializeAsString());
}

TEST_F(DataServiceTest, ListingSamplesSaysWhatIsWrong) {
  MakePool("p", 5);
  ASSERT_TRUE(Create("empty").ok());
  v1::ListSamplesRequest good;
  good.set_name("pools/p");
  good.set_global_batch(4);
  const auto list = [&](const std::function<void(v1::ListSamplesRequest&)>& change) {
    v1::ListSamplesRequest request = good;
    change(request);
    grpc::ClientContext context;
    v1::ListSamplesResponse response;
    return FromGrpc(Pools()->ListSamples(&context, request, &response));
  };
  EXPECT_TRUE(list([](auto&) {}).ok());
  EXPECT_TRUE(HasReason(list([](auto& r) { r.set_name("pools/none"); }), reason::kPoolNotFound));
  EXPECT_TRUE(HasReason(list([](auto& r) { r.set_name("pools/empty"); }), reason::kPoolEmpty));
  for (const int generation : {-1, 0, 2}) {
    EXPECT_TRUE(HasReason(list([&](auto& r) { r.set_generation(generation); }),
                          reason::kGenerationNotFound));
  }
  for (const char* token : {"x", "-1", "5"}) {
    EXPECT_TRUE(
        HasReason(list([&](auto& r) { r.set_page_token(token); }), reason::kInvalidPageToken));
  }
  const std::pair<const char*, std::function<void(v1::ListSamplesRequest&)>> changes[] = {
      {"step", [](auto& r) { r.set_step(-1); }},
      {"global_batch", [](auto& r) { r.set_global_batch(0); }},
      {"global_batch", [](auto& r) { r.set_world_size(3); }},
      {"world_size", [](auto& r) { r.set_world_size(-1); }},
      {"rank", [](auto& r) { r.set_rank(1); }},
      {"order", [](auto& r) { r.set_order(static_cast<v1::SampleOrder>(9)); }},
      {"crops.size", [](auto& r) { r.add_crops()->set_views(1); }},
      {"crops.interpolation", [](auto& r) {
         v1::CropRecipe& crop = *r.add_crops();
         crop.set_views(1);
         crop.set_size(8);
         crop.set_interpolation(static_cast<v1::Interpolation>(9));
       }}};
  for (const auto& [field, change] : changes) {
    const absl::Status bad = list(change);
    EXPECT_EQ(bad.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_EQ(GetErrorDetail(bad).value_or(ErrorDetail()).field, field);
  }
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
