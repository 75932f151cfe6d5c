// What `seer pool stats`, `verify` and `sample` ask a data service: a server in this process, pools
// in a folder that the test then damages.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/pool_inspection.grpc.pb.h"
#include "tests/integration/dataservice/pool_client.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using testing::FailsWith;

constexpr int kImages = 12;

class Look : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < kImages - 2; ++i)
      testing::WriteFile(dir_ / absl::StrCat("in/", i, ".png"), testing::MakePng(40 + i, 36, i));
    // The same bytes under two names.
    for (const char* name : {"in/a.jpg", "in/b.jpg"})
      testing::WriteFile(dir_ / name, testing::MakeJpeg(300, 200, 77));
    ASSERT_OK_AND_ASSIGN(server_, StartServer(absl::StrCat("file://", dir_ / "pools")));
    ASSERT_OK(CreatePool(*server_, "photos"));
    ASSERT_OK(IngestPool(*server_, "photos", {dir_ / "in"}));
    stub_ = v1::PoolInspection::NewStub(MakeChannel({absl::StrCat("127.0.0.1:", server_->port())}));
  }

  template <typename Request>
  static Request Named(const std::string& pool = "photos") {
    Request request;
    request.set_name("pools/" + pool);
    return request;
  }

  absl::StatusOr<v1::PoolStats> Stats(const v1::GetPoolStatsRequest& request) {
    grpc::ClientContext context;
    v1::PoolStats stats;
    SEER_RETURN_IF_ERROR(FromGrpc(stub_->GetPoolStats(&context, request, &stats)));
    return stats;
  }
  // The last message, with all findings.
  absl::StatusOr<v1::VerifyPoolProgress> Verify(const v1::VerifyPoolRequest& request) {
    grpc::ClientContext context;
    const auto stream = stub_->VerifyPool(&context, request);
    v1::VerifyPoolProgress all, last;
    while (stream->Read(&last)) all.mutable_findings()->MergeFrom(last.findings());
    SEER_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
    *last.mutable_findings() = all.findings();
    return last;
  }
  absl::StatusOr<std::vector<v1::SampledImage>> Sample(const v1::SamplePoolRequest& request) {
    grpc::ClientContext context;
    const auto stream = stub_->SamplePool(&context, request);
    std::vector<v1::SampledImage> images;
    for (v1::SampledImage image; stream->Read(&image);) images.push_back(image);
    SEER_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
    return images;
  }
  std::filesystem::path Shard() const {
    for (const auto& entry : std::filesystem::directory_iterator(dir_ / "pools/photos/shards"))
      return entry.path();
    return {};
  }

  testing::TempDir dir_;
  std::unique_ptr<DataServer> server_;
  std::unique_ptr<v1::PoolInspection::Stub> stub_;
};

TEST_F(Look, StatsCountWhatWasIngested) {
  ASSERT_OK_AND_ASSIGN(const v1::PoolStats stats, Stats(Named<v1::GetPoolStatsRequest>()));
  EXPECT_EQ(stats.images(), kImages);
  EXPECT_EQ(stats.rows_read(), kImages);
  EXPECT_EQ(stats.formats().at("png"), kImages - 2);
  EXPECT_EQ(stats.formats().at("jpeg"), 2);
  EXPECT_EQ(stats.duplicate_pairs(), 1);
  EXPECT_EQ(stats.duplicate_pairs_error(), 0);
  EXPECT_EQ(stats.without_age(), kImages);
  EXPECT_EQ(stats.without_country(), kImages);
  ASSERT_GE(stats.sides_size(), 2);  // 36 pixels, and 200
  EXPECT_EQ(stats.sides(0).low(), 32);
  EXPECT_EQ(stats.sides(0).high(), 64);
  EXPECT_EQ(stats.sides(0).images(), kImages - 2);
  EXPECT_EQ(stats.sides(stats.sides_size() - 1).low(), 128);
  EXPECT_EQ(stats.sides(stats.sides_size() - 1).images(), 2);
}

TEST_F(Look, ASoundPoolVerifies) {
  ASSERT_OK_AND_ASSIGN(const auto all, Verify(Named<v1::VerifyPoolRequest>()));
  EXPECT_TRUE(all.done());
  EXPECT_EQ(all.images_checked(), kImages);
  EXPECT_EQ(all.shards_checked(), all.shards_total());
  EXPECT_EQ(all.bytes_read(), static_cast<int64_t>(std::filesystem::file_size(Shard())));
  EXPECT_EQ(all.findings_size(), 0);
  auto request = Named<v1::VerifyPoolRequest>();
  request.set_sample(5);
  ASSERT_OK_AND_ASSIGN(const auto sample, Verify(request));
  EXPECT_EQ(sample.images_checked(), 5);
  EXPECT_EQ(sample.findings_size(), 0);
}

TEST_F(Look, ADamagedImageIsNamed) {
  std::string shard = testing::ReadFile(Shard());
  const std::string image = testing::ReadFile(dir_ / "in/3.png");
  const size_t at = shard.find(image);
  ASSERT_NE(at, std::string::npos);
  shard[at + image.size() / 2] ^= 1;
  testing::WriteFile(Shard(), shard);
  ASSERT_OK_AND_ASSIGN(const auto found, Verify(Named<v1::VerifyPoolRequest>()));
  ASSERT_EQ(found.findings_size(), 2);
  EXPECT_EQ(found.findings(0).kind(), v1::FINDING_KIND_IMAGE_HASH);
  EXPECT_THAT(found.findings(0).source(), ::testing::EndsWith("3.png"));
  EXPECT_EQ(found.findings(1).kind(), v1::FINDING_KIND_SHARD_HASH);
  EXPECT_EQ(found.findings(1).shard(), Shard().filename());
  auto request = Named<v1::VerifyPoolRequest>();
  request.set_sample(1000);  // more than there are: all of them
  ASSERT_OK_AND_ASSIGN(const auto sample, Verify(request));
  EXPECT_EQ(sample.images_checked(), kImages);
  ASSERT_EQ(sample.findings_size(), 1);
  EXPECT_EQ(sample.findings(0).image_id(), found.findings(0).image_id());
  request = Named<v1::VerifyPoolRequest>();
  request.set_max_findings(1);
  ASSERT_OK_AND_ASSIGN(const auto first, Verify(request));
  EXPECT_TRUE(first.stopped_early());
  EXPECT_EQ(first.findings_size(), 1);
}

TEST_F(Look, ShardsThatAreShortOrMissingAreNamed) {
  const auto path = Shard();
  const std::string shard = testing::ReadFile(path);
  testing::WriteFile(path, shard.substr(0, shard.size() / 2));
  ASSERT_OK_AND_ASSIGN(const auto cut, Verify(Named<v1::VerifyPoolRequest>()));
  std::vector<int> kinds;
  for (const auto& finding : cut.findings()) kinds.push_back(finding.kind());
  EXPECT_THAT(kinds, ::testing::Contains(v1::FINDING_KIND_SHARD_SIZE));
  EXPECT_THAT(kinds, ::testing::Contains(v1::FINDING_KIND_IMAGE_CUT_OFF));
  EXPECT_THAT(kinds, ::testing::Contains(v1::FINDING_KIND_SHARD_HASH));
  std::filesystem::remove(path);
  ASSERT_OK_AND_ASSIGN(const auto gone, Verify(Named<v1::VerifyPoolRequest>()));
  ASSERT_EQ(gone.findings_size(), 1);
  EXPECT_EQ(gone.findings(0).kind(), v1::FINDING_KIND_SHARD_MISSING);
}

TEST_F(Look, SampledCropsAreThoseOfAJobsFirstStep) {
  v1::StreamBatchesRequest batches = BatchesOf("photos", 1, kImages);
  batches.set_seed(7);
  ASSERT_OK_AND_ASSIGN(const auto bilinear, StreamBatches(*server_, batches));
  batches.mutable_crops(1)->set_interpolation(v1::INTERPOLATION_BICUBIC);
  ASSERT_OK_AND_ASSIGN(const auto messages, StreamBatches(*server_, batches));
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].crops(0).pixels(), bilinear.at(0).crops(0).pixels());
  EXPECT_NE(messages[0].crops(1).pixels(), bilinear.at(0).crops(1).pixels());
  auto request = Named<v1::SamplePoolRequest>();
  request.set_seed(7);
  request.set_count(kImages);
  *request.mutable_crops() = batches.crops();
  ASSERT_OK_AND_ASSIGN(const auto images, Sample(request));
  ASSERT_EQ(images.size(), static_cast<size_t>(kImages));
  for (int sample = 0; sample < kImages; ++sample) {
    int view = 0;
    for (const v1::CropTensor& tensor : messages[0].crops()) {
      const size_t bytes = static_cast<size_t>(tensor.size()) * tensor.size() * 3;
      for (int v = 0; v < tensor.views(); ++v, ++view) {
        const auto at = (static_cast<size_t>(v) * kImages + static_cast<size_t>(sample)) * bytes;
        ASSERT_EQ(images[static_cast<size_t>(sample)].views(view).rgb(),
                  tensor.pixels().substr(at, bytes))
            << "sample " << sample << ", view " << view;
      }
    }
  }
}

TEST_F(Look, WholeImagesAreFittedAndDamagedOnesSaid) {
  auto request = Named<v1::SamplePoolRequest>();
  request.set_count(100);
  request.set_size(50);
  ASSERT_OK_AND_ASSIGN(auto images, Sample(request));
  ASSERT_EQ(images.size(), static_cast<size_t>(kImages));
  for (const v1::SampledImage& image : images) {
    ASSERT_EQ(image.views_size(), 1) << image.problem();
    const v1::SampledView& view = image.views(0);
    EXPECT_EQ(std::max(view.width(), view.height()), 50);
    EXPECT_EQ(view.rgb().size(), static_cast<size_t>(view.width()) * view.height() * 3);
  }
  testing::WriteFile(Shard(), std::string(std::filesystem::file_size(Shard()), 'x'));
  ASSERT_OK_AND_ASSIGN(images, Sample(request));
  ASSERT_EQ(images.size(), static_cast<size_t>(kImages));
  EXPECT_EQ(images[0].views_size(), 0);
  EXPECT_THAT(images[0].problem(), ::testing::HasSubstr("IMAGE_CORRUPT"));
}

TEST_F(Look, BadRequestsAreRefused) {
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  auto stats = Named<v1::GetPoolStatsRequest>();
  for (const int64_t rows : {int64_t{0}, int64_t{-1}, int64_t{1} << 40}) {
    stats.set_rows(rows);
    EXPECT_THAT(Stats(stats), FailsWith(kBad, reason::kOutOfRange, "rows"));
  }
  auto verify = Named<v1::VerifyPoolRequest>();
  verify.set_sample(0);
  EXPECT_THAT(Verify(verify), FailsWith(kBad, reason::kOutOfRange, "sample"));
  auto sample = Named<v1::SamplePoolRequest>();
  EXPECT_THAT(Sample(sample), FailsWith(kBad, reason::kOutOfRange, "count"));
  sample.set_count(4);
  sample.set_size(7);
  EXPECT_THAT(Sample(sample), FailsWith(kBad, reason::kOutOfRange, "size"));
  sample.set_size(0);
  sample.add_crops()->set_views(1);
  EXPECT_THAT(Sample(sample), FailsWith(kBad, reason::kInvalidArgument, "crops.size"));
  verify = Named<v1::VerifyPoolRequest>();
  verify.set_generation(9);
  EXPECT_THAT(Verify(verify),
              FailsWith(absl::StatusCode::kNotFound, reason::kGenerationNotFound, "9"));
  EXPECT_THAT(Stats(Named<v1::GetPoolStatsRequest>("nowhere")),
              FailsWith(absl::StatusCode::kNotFound, reason::kPoolNotFound, "nowhere"));
  ASSERT_OK(CreatePool(*server_, "empty"));
  EXPECT_THAT(Stats(Named<v1::GetPoolStatsRequest>("empty")),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty, "empty"));
}

}  // namespace
}  // namespace seer::dataservice
