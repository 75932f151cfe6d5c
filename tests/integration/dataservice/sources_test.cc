// Sources behind a server: URL lists, Parquet with URLs, prefixes of object storage.

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/objectstore/open_store.h"
#include "dataservice/ingest/sources.h"
#include "dataservice/ingest/url_source.h"
#include "dataservice/pool/tar_shard.h"
#include "tests/integration/dataservice/pool_client.h"
#include "tests/support/image_files.h"
#include "tests/support/parquet_files.h"
#include "tests/support/read_sources.h"
#include "tests/support/s3_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using testing::ReadAll;

using testing::FailsWith;
using testing::MakePng;
using testing::S3Server;
using testing::WriteFile;

class SourcesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    testing::UseCredentials();
    s3_ = new S3Server(/*signed_only=*/false);
    bucket_ = std::move(*OpenStore(s3_->Uri("")));
  }
  static void TearDownTestSuite() {
    bucket_.reset();
    delete s3_;
    s3_ = nullptr;
  }
  void SetUp() override { s3_->SetFaults("{}"); }

  // Writes a list of `urls` and reads what they bring.
  absl::StatusOr<std::vector<SourceImage>> Fetch(const std::vector<std::string>& urls,
                                                 const SourceOptions& options = {}) {
    std::string lines = "# a list\n\n";
    for (const std::string& url : urls) absl::StrAppend(&lines, "  ", url, "\r\n");
    WriteFile(dir_ / "list.txt", lines);
    return ReadAll({dir_ / "list.txt"}, options);
  }

  static inline S3Server* s3_ = nullptr;
  static inline std::unique_ptr<ObjectStore> bucket_;
  testing::TempDir dir_;
};

TEST_F(SourcesTest, UrlsComeInOrderUnderFaults) {
  std::vector<std::string> urls, bytes;
  for (int i = 0; i < 60; ++i) {
    bytes.push_back(MakePng(8 + i, 9, static_cast<uint32_t>(i)));
    ASSERT_OK(bucket_->Put(absl::StrCat("urls/", i, ".png"), bytes.back()));
    urls.push_back(s3_->HttpUrl(absl::StrCat("urls/", i, ".png")));
  }
  s3_->SetFaults(R"({"error_500": 0.06, "slow_down": 0.06, "reset": 0.06, "truncate": 0.06})");
  ASSERT_OK_AND_ASSIGN(const auto images, Fetch(urls));
  ASSERT_EQ(images.size(), urls.size());
  for (size_t i = 0; i < urls.size(); ++i) {
    EXPECT_OK(images[i].failure);
    EXPECT_EQ(images[i].source, urls[i]);
    EXPECT_TRUE(images[i].bytes == bytes[i]) << i;
  }
  EXPECT_GT(s3_->Count("truncate"), 0);
}

TEST_F(SourcesTest, AUrlThatCannotBeHadIsOneFailure) {
  ASSERT_OK(bucket_->Put("target", "image"));
  ASSERT_OK(bucket_->Put("urls/large", std::string(5'000, 'x')));
  SourceOptions options;
  options.max_download_bytes = 4'000;
  const std::string address = "http://" + s3_->Address();
  ASSERT_OK_AND_ASSIGN(
      const auto images,
      Fetch({s3_->HttpUrl("urls/absent"), s3_->HttpUrl("urls/large"), address + "/_redirect/3",
             address + "/_redirect/50", "http://127.0.0.1:1/nobody"},
            options));
  ASSERT_EQ(images.size(), 5u);
  const auto failed = absl::StatusCode::kUnavailable;
  EXPECT_THAT(images[0].failure, FailsWith(failed, reason::kDownloadFailed, "HTTP 404"));
  EXPECT_THAT(images[1].failure, FailsWith(absl::StatusCode::kResourceExhausted,
                                           reason::kImageTooLarge, "4000 bytes"));
  EXPECT_EQ(images[1].bytes, "");
  EXPECT_OK(images[2].failure);
  EXPECT_EQ(images[2].bytes, "image");
  EXPECT_THAT(images[3].failure, FailsWith(failed, reason::kDownloadFailed, "redirects"));
  EXPECT_THAT(images[4].failure, FailsWith(failed, reason::kDownloadFailed, "127.0.0.1"));
}

TEST_F(SourcesTest, AUrlIsASourceByItself) {
  ASSERT_OK(bucket_->Put("urls/one.png", MakePng(9, 9, 1)));
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({s3_->HttpUrl("urls/one.png")}));
  ASSERT_EQ(images.size(), 1u);
  EXPECT_EQ(images[0].bytes, MakePng(9, 9, 1));
}

TEST_F(SourcesTest, ParquetRowsWithUrlsAreDownloaded) {
  ASSERT_OK(bucket_->Put("urls/q.png", MakePng(9, 9, 2)));
  testing::WriteParquet(dir_ / "urls.parquet",
                        {{"url", testing::TextColumn({s3_->HttpUrl("urls/q.png"), "ftp://x"})},
                         {"label", testing::IntegerColumn({4, 5})}});
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({dir_ / "urls.parquet"}));
  ASSERT_EQ(images.size(), 2u);
  EXPECT_EQ(images[0].bytes, MakePng(9, 9, 2));
  EXPECT_EQ(images[0].source, s3_->HttpUrl("urls/q.png"));
  EXPECT_EQ(images[0].label, 4);
  EXPECT_TRUE(HasReason(images[1].failure, reason::kDownloadFailed)) << images[1].failure;
}

TEST_F(SourcesTest, APrefixHoldsImagesTarsAndParquet) {
  TarShardBuilder tar;
  ASSERT_OK(tar.Add("x.png", MakePng(5, 5, 1)));
  ASSERT_OK(tar.Add("x.cls", "3"));
  ASSERT_OK_AND_ASSIGN(const std::string tar_bytes, tar.Finish());
  testing::WriteParquet(dir_ / "t.parquet",
                        {{"image", testing::BytesColumn({MakePng(6, 6, 1), MakePng(7, 7, 1)})}});
  ASSERT_OK(bucket_->Put("mixed/a/1.png", MakePng(3, 3, 1)));
  ASSERT_OK(bucket_->Put("mixed/b.tar", tar_bytes));
  ASSERT_OK(bucket_->Put("mixed/c.parquet", testing::ReadFile(dir_ / "t.parquet")));
  ASSERT_OK(bucket_->Put("mixed/d.JPG", "d"));
  ASSERT_OK(bucket_->Put("mixed/notes.txt", "http://127.0.0.1:1/not-read"));
  ASSERT_OK(bucket_->Put("mixed-not/e.png", "e"));
  for (const char* faults : {"{}", R"({"reset": 0.2, "short": 0.1})"}) {
    s3_->SetFaults(faults);
    ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({s3_->Uri("mixed")}));
    std::vector<std::string> sources;
    for (const auto& image : images) sources.push_back(image.source);
    EXPECT_EQ(sources,
              (std::vector<std::string>{"s3://pools/mixed/a/1.png", "s3://pools/mixed/b.tar#x.png",
                                        "s3://pools/mixed/c.parquet#0",
                                        "s3://pools/mixed/c.parquet#1", "s3://pools/mixed/d.JPG"}));
    EXPECT_EQ(images[1].label, 3);
    EXPECT_EQ(images[3].bytes, MakePng(7, 7, 1));
  }
  ASSERT_OK_AND_ASSIGN(const auto one, ReadAll({s3_->Uri("mixed/b.tar")}));
  EXPECT_EQ(one.size(), 1u);
}

TEST_F(SourcesTest, LabelsComeFromFoldersOfAPrefix) {
  for (const char* key : {"classes/dog/1.png", "classes/cat/1.png", "classes/top.png"})
    ASSERT_OK(bucket_->Put(key, key));
  SourceOptions options;
  options.labels_from_folders = true;
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({s3_->Uri("classes")}, options));
  std::vector<int> labels;
  for (const auto& image : images) labels.push_back(image.label);
  EXPECT_EQ(labels, (std::vector<int>{0, 1, -1}));
}

TEST_F(SourcesTest, WhatIsNotThereIsNamed) {
  EXPECT_THAT(ReadAll({s3_->Uri("nothing")}),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kSourceEmpty, "nothing"));
  EXPECT_THAT(ReadAll({s3_->Uri("nothing/x.tar")}),
              FailsWith(absl::StatusCode::kNotFound, reason::kSourceNotFound, "x.tar"));
  ASSERT_OK(bucket_->Put("torn/x.tar", "no tar at all, but long enough to be looked at"));
  EXPECT_THAT(ReadAll({s3_->Uri("torn")}),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "torn/x.tar"));
}

TEST_F(SourcesTest, FailedDownloadsAreQuarantinedAndTheRestIsIngested) {
  ASSERT_OK(bucket_->Put("urls/good.png", MakePng(20, 20, 5)));
  WriteFile(dir_ / "list.txt",
            absl::StrCat(s3_->HttpUrl("urls/gone.png"), "\n", s3_->HttpUrl("urls/good.png"), "\n"));
  ASSERT_OK_AND_ASSIGN(const auto server, StartServer(dir_ / "pools"));
  ASSERT_OK(CreatePool(*server, "p"));
  ASSERT_OK_AND_ASSIGN(const auto done, IngestPool(*server, "p", {dir_ / "list.txt"}));
  EXPECT_EQ(done.pool().images(), 1);
  EXPECT_EQ(done.images_total(), 2);
  ASSERT_OK_AND_ASSIGN(const auto reasons, QuarantineReasons(*server, "p"));
  EXPECT_EQ(reasons, std::vector<std::string>{"DOWNLOAD_FAILED"});
}

}  // namespace
}  // namespace seer::dataservice
