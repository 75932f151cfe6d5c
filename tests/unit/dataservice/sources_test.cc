// Sources on a disk: folders, tar shards, Parquet files, lists of URLs, and what is wrong with
// them.
#include "dataservice/ingest/sources.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "dataservice/ingest/read_ahead.h"
#include "dataservice/pool/tar_shard.h"
#include "tests/support/image_files.h"
#include "tests/support/parquet_files.h"
#include "tests/support/read_sources.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using testing::ReadAll;

using testing::BytesColumn;
using testing::FailsWith;
using testing::ImageStructColumn;
using testing::IntegerColumn;
using testing::TextColumn;
using testing::WriteFile;
using testing::WriteParquet;

TEST(Sources, AFolderHoldsImagesTarsAndParquetInTheOrderOfTheirNames) {
  const testing::TempDir dir;
  TarShardBuilder tar;
  ASSERT_OK(tar.Add("m.png", "tar"));
  ASSERT_OK_AND_ASSIGN(const std::string tar_bytes, tar.Finish());
  WriteFile(dir / "d/a.PNG", "a");
  WriteFile(dir / "d/b.tar", tar_bytes);
  WriteParquet(dir / "d/c.parquet", {{"image", BytesColumn({"c0", "c1"})}});
  WriteFile(dir / "d/sub/d.webp", "d");
  WriteFile(dir / "d/README.txt", "no list of URLs");
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({dir / "d"}));
  std::vector<std::string> seen;
  for (const auto& image : images) seen.push_back(image.bytes);
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "tar", "c0", "c1", "d"}));
  EXPECT_EQ(images[2].source, dir / "d/c.parquet#0");
}

TEST(Sources, ThousandsOfFilesAreNotOpenAtOnce) {
  const testing::TempDir dir;
  std::vector<std::string> paths;
  for (int i = 0; i < 3000; ++i) {
    paths.push_back(dir / absl::StrCat(i, ".parquet"));
    if (i == 0) {
      WriteParquet(paths[0], {{"image", BytesColumn({"x"})}});
    } else {
      std::filesystem::copy_file(paths[0], paths.back());
    }
  }
  ASSERT_OK_AND_ASSIGN(const auto list, SourceList::Create(paths, {}));
  const auto units = list.Cut(int64_t{1} << 40);
  ASSERT_EQ(units.size(), 1u);
  EXPECT_EQ(units[0].images, 3000);
  ASSERT_OK_AND_ASSIGN(const auto source, list.Open(units[0], 16));
  ASSERT_OK(source->Next());
  int open = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd"))
    ++open;
  EXPECT_LT(open, 50);
}

TEST(Sources, EmptyClassFoldersKeepTheirNumber) {
  const testing::TempDir dir;
  WriteFile(dir / "d/a/1.png", "a");
  std::filesystem::create_directories(dir / "d/b");
  WriteFile(dir / "d/c/1.png", "c");
  SourceOptions options;
  options.labels_from_folders = true;
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({dir / "d"}, options));
  ASSERT_EQ(images.size(), 2u);
  EXPECT_EQ(images[0].label, 0);
  EXPECT_EQ(images[1].label, 2);
  WriteFile(dir / "flat/1.png", "1");
  EXPECT_THAT(ReadAll({dir / "flat"}, options),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kNoLabels, "flat"));
}

TEST(ParquetSource, ReadsAllColumnsByConvention) {
  const testing::TempDir dir;
  WriteParquet(dir / "all.parquet",
               {{"other", IntegerColumn({9, 9, 9})},
                {"image", ImageStructColumn({"one", "two", "three"})},
                {"label", IntegerColumn({7, -1, int64_t{1} << 40})},
                {"country", TextColumn({"US", "", "CA"})},
                {"visibility", TextColumn({"public", "private", ""})},
                {"captured_at", TextColumn({"2020-01-02T03:04:05Z", "soon", ""})}},
               /*row_group_rows=*/2);
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({dir / "all.parquet"}));
  ASSERT_EQ(images.size(), 3u);
  EXPECT_EQ(images[0].bytes, "one");
  EXPECT_EQ(images[2].bytes, "three");
  EXPECT_EQ(images[2].source, dir / "all.parquet#2");
  EXPECT_EQ(images[0].label, 7);
  EXPECT_EQ(images[1].label, -1);
  EXPECT_EQ(images[2].label, -1);  // no 32-bit class
  EXPECT_EQ(images[0].country, "US");
  EXPECT_EQ(images[1].visibility, "private");
  EXPECT_EQ(images[0].captured_at, absl::FromUnixSeconds(1577934245));
  EXPECT_FALSE(images[1].captured_at.has_value());
}

TEST(ParquetSource, ManyRowsComeInOrder) {
  const testing::TempDir dir;
  std::vector<std::string> values;
  for (int i = 0; i < 1000; ++i) values.push_back(absl::StrCat("image ", i));
  WriteParquet(dir / "t.parquet", {{"bytes", BytesColumn(values)}}, 300);
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({dir / "t.parquet"}));
  ASSERT_EQ(images.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(images[i].bytes, values[i]);
}

TEST(Sources, UnitsHaveTheSameImagesInTheSameOrder) {
  const testing::TempDir dir;
  std::vector<std::string> values;
  for (int i = 0; i < 1000; ++i) values.push_back(absl::StrCat("image ", i));
  WriteParquet(dir / "d/t.parquet", {{"bytes", BytesColumn(values)}}, 300);
  // Rows that cannot be downloaded: cut within their row groups.
  WriteParquet(dir / "d/urls.parquet",
               {{"url", TextColumn(std::vector<std::string>(5000, "ftp://x"))}}, 3000);
  for (int i = 0; i < 30; ++i) WriteFile(dir / absl::StrCat("d/", 10 + i, ".png"), "x");
  ASSERT_OK_AND_ASSIGN(const auto whole, ReadAll({dir / "d", dir / "d/10.png"}));
  ASSERT_EQ(whole.size(), 6031u);
  for (const int64_t unit_bytes : {int64_t{1}, int64_t{20'000}, int64_t{100} << 20}) {
    ASSERT_OK_AND_ASSIGN(const auto cut, ReadAll({dir / "d", dir / "d/10.png"}, {}, unit_bytes));
    ASSERT_EQ(cut.size(), whole.size());
    for (size_t i = 0; i < whole.size(); ++i) {
      EXPECT_EQ(cut[i].source, whole[i].source);
      EXPECT_EQ(cut[i].bytes, whole[i].bytes);
    }
  }
  ASSERT_OK_AND_ASSIGN(const auto list, SourceList::Create({dir / "d"}, {}));
  EXPECT_EQ(list.Cut(1).size(), 30u + 4u + 5u) << "files, row groups, pieces of 1,024 rows";
  ASSERT_OK_AND_ASSIGN(const auto again, SourceList::Create({dir / "d"}, {}));
  EXPECT_EQ(list.Cut(1)[7].id, again.Cut(1)[7].id);
  WriteFile(dir / "d/17.png", "changed");
  ASSERT_OK_AND_ASSIGN(const auto changed, SourceList::Create({dir / "d"}, {}));
  EXPECT_NE(list.Cut(1)[7].id, changed.Cut(1)[7].id);
  EXPECT_EQ(list.Cut(1)[8].id, changed.Cut(1)[8].id);
}

TEST(UrlSource, AListIsCutIntoPieces) {
  const testing::TempDir dir;
  std::string lines;
  for (int i = 0; i < 2500; ++i) absl::StrAppend(&lines, "# ", i, "\nhttp://127.0.0.1:1/", i, "\n");
  WriteFile(dir / "list.txt", lines);
  ASSERT_OK_AND_ASSIGN(const auto list, SourceList::Create({dir / "list.txt"}, {}));
  const auto units = list.Cut(1);
  ASSERT_EQ(units.size(), 3u);
  EXPECT_EQ(units[0].images, 1024);
  EXPECT_EQ(units[2].images, 452);
  // More at the end leaves what was there as it is.
  WriteFile(dir / "list.txt", lines + "http://127.0.0.1:1/more\n");
  ASSERT_OK_AND_ASSIGN(const auto longer, SourceList::Create({dir / "list.txt"}, {}));
  EXPECT_EQ(longer.Cut(1)[1].id, units[1].id);
  EXPECT_NE(longer.Cut(1)[2].id, units[2].id);
}

TEST(ParquetSource, ARowWithoutAnImageIsOneFailure) {
  const testing::TempDir dir;
  WriteParquet(dir / "t.parquet", {{"image", BytesColumn({"one", "", "three"})}});
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({dir / "t.parquet"}));
  ASSERT_EQ(images.size(), 3u);
  EXPECT_OK(images[0].failure);
  EXPECT_THAT(images[1].failure,
              FailsWith(absl::StatusCode::kUnavailable, reason::kDownloadFailed, "t.parquet#1"));
  EXPECT_OK(images[2].failure);
}

TEST(ParquetSource, LongBytesAreCutBehindTheLimit) {
  const testing::TempDir dir;
  WriteParquet(dir / "t.parquet", {{"image", BytesColumn({std::string(1000, 'x')})}});
  SourceOptions options;
  options.max_bytes = 10;
  ASSERT_OK_AND_ASSIGN(const auto images, ReadAll({dir / "t.parquet"}, options));
  EXPECT_EQ(images[0].bytes.size(), 11u);
}

TEST(ParquetSource, MissingAndWrongColumnsAreNamed) {
  const testing::TempDir dir;
  const auto code = absl::StatusCode::kInvalidArgument;
  WriteParquet(dir / "a.parquet", {{"picture", BytesColumn({"x"})}, {"n", IntegerColumn({1})}});
  const auto missing = ReadAll({dir / "a.parquet"});
  EXPECT_THAT(missing, FailsWith(code, reason::kSourceColumns,
                                 "neither a column image or bytes nor a column url"));
  EXPECT_THAT(missing, FailsWith(code, reason::kSourceColumns, "picture (binary), n (int64)"));
  WriteParquet(dir / "b.parquet", {{"image", IntegerColumn({1})}});
  EXPECT_THAT(ReadAll({dir / "b.parquet"}), FailsWith(code, reason::kSourceColumns, "image"));
  WriteParquet(dir / "c.parquet", {{"image", BytesColumn({"x"})}, {"label", TextColumn({"cat"})}});
  EXPECT_THAT(ReadAll({dir / "c.parquet"}),
              FailsWith(code, reason::kSourceColumns, "label that is no integer"));
}

TEST(ParquetSource, ATornFileIsNamed) {
  const testing::TempDir dir;
  WriteParquet(dir / "t.parquet", {{"image", BytesColumn({std::string(5000, 'x')})}});
  const std::string whole = testing::ReadFile(dir / "t.parquet");
  for (const size_t size : {size_t{0}, size_t{3}, whole.size() / 2, whole.size() - 1}) {
    WriteFile(dir / "torn.parquet", whole.substr(0, size));
    EXPECT_THAT(ReadAll({dir / "torn.parquet"}),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "torn.parquet"))
        << size;
  }
  for (size_t at = 4; at < whole.size(); at += 97) {  // damage ends in a status or in bytes
    std::string damaged = whole;
    damaged[at] = static_cast<char>(~damaged[at]);
    WriteFile(dir / "damaged.parquet", damaged);
    const auto images = ReadAll({dir / "damaged.parquet"});
    if (!images.ok()) EXPECT_TRUE(GetErrorDetail(images.status()).has_value()) << images.status();
  }
}

TEST(UrlSource, ListsAreCheckedBeforeAnythingIsRead) {
  const testing::TempDir dir;
  WriteFile(dir / "bad.txt", "# comment\nhttp://127.0.0.1:1/a\n\nfile:///etc/passwd\n");
  EXPECT_THAT(ReadAll({dir / "bad.txt"}),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                        "bad.txt, line 4: 'file:///etc/passwd'"));
  WriteFile(dir / "none.txt", "# only this\n");
  EXPECT_THAT(ReadAll({dir / "none.txt"}),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kSourceEmpty, "no URL"));
  EXPECT_THAT(ReadAll({dir / "absent.txt"}),
              FailsWith(absl::StatusCode::kNotFound, reason::kSourceNotFound, "absent.txt"));
}

TEST(ReadAhead, KeepsTheOrderAndGoesOnAfterAnEnd) {
  int given = 0;
  const auto generate = [&]() -> absl::StatusOr<ReadAhead::Fetch> {
    if (++given % 51 == 0) return ReadAhead::Fetch();
    return ReadAhead::Fetch([number = given]() -> absl::StatusOr<SourceImage> {
      SourceImage image;
      image.source = absl::StrCat(number);
      return image;
    });
  };
  ReadAhead ahead(4, generate);
  for (int round = 0; round < 3; ++round) {
    for (int i = 1; i <= 50; ++i) {
      ASSERT_OK_AND_ASSIGN(const auto image, ahead.Next());
      ASSERT_TRUE(image.has_value());
      EXPECT_EQ(image->source, absl::StrCat(round * 51 + i));
    }
    ASSERT_OK_AND_ASSIGN(const auto end, ahead.Next());
    EXPECT_FALSE(end.has_value());
  }
}

TEST(ReadAhead, AnErrorComesInItsPlace) {
  int given = 0;
  ReadAhead ahead(4, [&]() -> absl::StatusOr<ReadAhead::Fetch> {
    const int number = given++;
    return ReadAhead::Fetch([number]() -> absl::StatusOr<SourceImage> {
      if (number == 3) return absl::DataLossError("three");
      return SourceImage();
    });
  });
  for (int i = 0; i < 3; ++i) EXPECT_OK(ahead.Next());
  EXPECT_TRUE(absl::IsDataLoss(ahead.Next().status()));
}

}  // namespace
}  // namespace seer::dataservice
