// What an ingest makes of its sources.
#include "dataservice/ingest/ingest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/objectstore/memory_store.h"
#include "dataservice/decode/decoder.h"
#include "tests/support/image_encoders.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using testing::WriteFile;

absl::Status Quiet(const IngestCounts&) { return absl::OkStatus(); }

class IngestTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(store_.Create("p", {})); }

  testing::TempDir dir_;
  std::unique_ptr<ObjectStore> objects_ = MakeMemoryStore();
  PoolStore store_{*objects_, Clock::Real()};
};

TEST_F(IngestTest, TakesEveryFormatOfTheDecoder) {
  const testing::Bytes pixels(8 * 8 * 3, 0x55), indices(8 * 8, 1);
  WriteFile(dir_ / "all/a.jpg", testing::MakeJpeg(8, 8, 1));
  WriteFile(dir_ / "all/b.png", testing::MakePng(8, 8, 1));
  WriteFile(dir_ / "all/c.webp", testing::EncodeWebp(8, 8, pixels, /*lossless=*/true));
  WriteFile(dir_ / "all/d.gif", testing::EncodeGif(8, 8, indices, {{0, 0, 0}, {1, 2, 3}}));
  WriteFile(dir_ / "all/e.bmp", testing::EncodeBmp(8, 8, std::vector<uint32_t>(64, 0x55AA55)));
  WriteFile(dir_ / "all/f.tif", testing::EncodeTiff(8, 8, pixels));
  IngestOptions options;
  options.sources = {dir_ / "all"};
  ASSERT_OK_AND_ASSIGN(const IngestCounts counts,
                       IngestIntoPool(store_, Clock::Real(), "p", options, Quiet));
  EXPECT_EQ(counts.added, 6);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, store_.ReadManifest("p", 1));
  for (const absl::string_view format : FormatNames())
    EXPECT_EQ(manifest.formats.at(std::string(format)), 1) << format;
  // A pool that asks for two of them refuses the others.
  PoolPolicy policy;
  policy.formats = {"gif", "tiff"};
  ASSERT_OK(store_.Create("two", policy));
  ASSERT_OK_AND_ASSIGN(const IngestCounts two,
                       IngestIntoPool(store_, Clock::Real(), "two", options, Quiet));
  EXPECT_EQ(two.added, 2);
  EXPECT_EQ(two.refused_by_rule, (std::map<std::string, int64_t>{{"format", 4}}));
}

}  // namespace
}  // namespace seer::dataservice
