// What a pool nobody curated sends: cut off, damaged and hostile files. Every one gives an error
// or an image, in bounded memory.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/philox.h"
#include "dataservice/decode/decoder.h"
#include "tests/support/image_encoders.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

using testing::Bytes;
using testing::FailsWith;

constexpr int kWidth = 24, kHeight = 17;

Bytes Pixels(int channels) {
  Bytes pixels;
  for (int i = 0; i < kWidth * kHeight * channels; ++i)
    pixels.push_back(static_cast<uint8_t>(i * 5 + i / 7 * 11 + 1));
  return pixels;
}

// One small file of each decoder path.
std::vector<std::pair<std::string, std::string>> SmallFiles() {
  const Bytes grey = Pixels(1), rgb = Pixels(3), four = Pixels(4);
  testing::JpegOptions progressive, cmyk, exif, arithmetic;
  progressive.progressive = progressive.subsampled = true;
  cmyk.components = 4;
  cmyk.ycck = true;
  exif.orientation = 6;
  exif.restart_rows = 1;
  arithmetic.arithmetic = true;
  testing::PngOptions palette{3, 8};
  for (int i = 0; i < 256; ++i) palette.palette.push_back({static_cast<uint8_t>(i), 1, 2});
  palette.palette_alpha = {1, 2, 3};
  testing::PngOptions oriented;
  oriented.orientation = 5;
  oriented.interlaced = true;
  const auto jpeg = [&](const Bytes& pixels, const testing::JpegOptions& options) {
    return testing::EncodeJpeg(kWidth, kHeight, pixels, options);
  };
  return {{"jpeg", jpeg(rgb, {})},
          {"progressive jpeg", jpeg(rgb, progressive)},
          {"ycck jpeg", jpeg(four, cmyk)},
          {"jpeg with exif and restarts", jpeg(rgb, exif)},
          {"arithmetic jpeg", jpeg(rgb, arithmetic)},
          {"png", testing::EncodePng(kWidth, kHeight, rgb)},
          {"palette png", testing::EncodePng(kWidth, kHeight, grey, palette)},
          {"interlaced png with exif", testing::EncodePng(kWidth, kHeight, rgb, oriented)},
          {"lossy webp", testing::EncodeWebp(kWidth, kHeight, rgb, false)},
          {"lossless webp with alpha", testing::EncodeWebp(kWidth, kHeight, four, true, 4)},
          {"webp with exif",
           testing::ExtendWebp(testing::EncodeWebp(kWidth, kHeight, rgb, true), kWidth, kHeight, 8,
                               {{"EXIF", testing::ExifBlock(7, true)}})}};
}

// Peak resident memory so far.
int64_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// The three ways in: none may crash; what is refused is refused with a reason of the list.
void TryAll(const std::string& bytes, bool must_fail, const DecodeLimits& limits = {}) {
  static const auto& reasons =
      *new std::set<absl::string_view>{reason::kUnknownFormat, reason::kImageTooLarge,
                                       reason::kImageTruncated, reason::kImageCorrupt};
  const auto info = ReadImageInfo(bytes, limits);
  const auto image = Decode(bytes, {0, 0, limits});
  absl::Status cropped = info.status();
  if (info.ok()) {
    ASSERT_GT(info->width, 0);
    ASSERT_GT(info->height, 0);
    uint8_t out[8 * 8 * 3];
    const double width = info->width, height = info->height;
    const CropSpec crop{{0, 0, width, height, false}, 8, out};
    cropped = DecodeAndCrop(bytes, {&crop, 1}, limits).status();
  }
  if (image.ok()) {
    ASSERT_TRUE(info.ok());
    ASSERT_EQ(image->width, info->width);
    ASSERT_EQ(image->height, info->height);
    ASSERT_EQ(image->rgb.size(), static_cast<size_t>(image->width) * image->height * 3);
  }
  for (const absl::Status& status : {info.status(), image.status(), cropped}) {
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(status.ok() || (detail && reasons.count(detail->reason) == 1)) << status;
  }
  ASSERT_EQ(image.ok(), cropped.ok()) << image.status() << " but " << cropped;
  ASSERT_FALSE(must_fail && image.ok());
}

TEST(Damage, ThereIsAnErrorWhereverAFileIsCutOff) {
  for (const auto& [name, file] : SmallFiles()) {
    ASSERT_OK(Decode(file)) << name;
    for (size_t size = 0; size < file.size(); ++size) {
      SCOPED_TRACE(absl::StrCat(name, " of ", file.size(), " bytes cut to ", size));
      // A copy of exactly that size, so that a sanitizer sees a read past its end.
      TryAll(std::string(file.data(), size), /*must_fail=*/true);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Damage, FlippedBitsGiveAnErrorOrAnImageInBoundedMemory) {
  const int64_t before = PeakBytes();
  for (const auto& [name, file] : SmallFiles()) {
    // A JPEG or PNG cannot claim more than its bytes can hold. A lossless WebP of one colour takes
    // some 20 bytes at any size, so that only the limit bounds what it may ask for.
    DecodeLimits limits;
    if (name.find("webp") != std::string::npos) limits.max_pixels = 2'000'000;
    Philox random(5, RandomPurpose::kTest, StableHash(name));
    for (int round = 0; round < 1000; ++round) {
      std::string damaged = file;
      const uint64_t flips = 1 + random.Below(4);
      for (uint64_t i = 0; i < flips; ++i) {
        // Half of them in the first 64 bytes, where the sizes are.
        const uint64_t range =
            random.Below(2) == 0 ? std::min<uint64_t>(64, file.size()) : file.size();
        damaged[random.Below(range)] ^= static_cast<char>(1 << random.Below(8));
      }
      SCOPED_TRACE(absl::StrCat(name, ", round ", round));
      TryAll(damaged, false, limits);
      if (HasFatalFailure()) return;
    }
  }
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(PeakBytes() - before, int64_t{64} << 20) << "a small file asked for much memory";
#else
  (void)before;
#endif
}

TEST(Damage, RandomBytesBehindEveryMagicNumber) {
  Philox random(6, RandomPurpose::kTest, 0);
  const std::array<std::string, 4> starts = {
      std::string("\xFF\xD8\xFF"),
      std::string("\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10", 24),
      std::string("RIFF\x90\x01\0\0WEBPVP8 ", 16), std::string("RIFF\x90\x01\0\0WEBPVP8L", 16)};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = starts[static_cast<size_t>(round) % starts.size()];
    for (int i = 0; i < 400; ++i) bytes.push_back(static_cast<char>(random.Next32()));
    SCOPED_TRACE(round);
    TryAll(bytes, false);
    if (HasFatalFailure()) return;
  }
}

TEST(Damage, ReasonsTellCutOffFromDamaged) {
  for (const auto& [name, file] : SmallFiles()) {
    SCOPED_TRACE(name);
    EXPECT_THAT(Decode(file.substr(0, file.size() - file.size() / 4)),
                FailsWith(absl::StatusCode::kDataLoss, reason::kImageTruncated, "end too early"));
  }
  std::string png = SmallFiles()[5].second;
  png[png.size() / 2] ^= 1;
  EXPECT_THAT(Decode(png), FailsWith(absl::StatusCode::kDataLoss, reason::kImageCorrupt, "PNG"));
}

TEST(Hostile, NotAnImage) {
  for (const std::string& bytes :
       {std::string(), std::string("this is not an image"), std::string("\xFF\xD8"),
        std::string("GIF89a"), std::string("RIFF\0\0\0\0WAVE", 12), std::string(100, '\0')}) {
    for (const absl::Status& status : {ReadImageInfo(bytes).status(), Decode(bytes).status()}) {
      EXPECT_THAT(status, FailsWith(absl::StatusCode::kInvalidArgument, reason::kUnknownFormat,
                                    "first bytes"));
    }
  }
}

TEST(Hostile, MorePixelsThanTheLimit) {
  const std::string bomb = testing::MakePngBomb(30000, 30000);
  for (const absl::Status& status : {ReadImageInfo(bomb).status(), Decode(bomb).status()}) {
    EXPECT_THAT(status, FailsWith(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge,
                                  "30000x30000"));
  }
  EXPECT_THAT(
      Decode(testing::MakePngBomb(0x7FFFFFFF, 0x7FFFFFFF)),
      FailsWith(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge, "2147483647"));
  EXPECT_THAT(
      Decode(testing::MakePngBomb(0xFFFFFFFF, 2)),
      FailsWith(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge, "4294967295"));
  // The limit itself, for each format.
  for (const auto& [name, file] : SmallFiles()) {
    SCOPED_TRACE(name);
    DecodeOptions options;
    options.limits.max_pixels = kWidth * kHeight;
    EXPECT_OK(Decode(file, options));
    options.limits.max_pixels -= 1;
    EXPECT_THAT(Decode(file, options), FailsWith(absl::StatusCode::kResourceExhausted,
                                                 reason::kImageTooLarge, "the limit is 407"));
    options.limits = {};
    options.limits.max_bytes = static_cast<int64_t>(file.size()) - 1;
    EXPECT_THAT(ReadImageInfo(file, options.limits),
                FailsWith(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge, "bytes"));
  }
}

// Where the width stands in a JPEG: SOF0 or SOF2, length, precision, height, width.
void SetJpegSize(std::string& file, int width, int height) {
  for (size_t i = 2; i + 9 < file.size(); ++i) {
    if (file[i] != '\xFF' || (file[i + 1] != '\xC0' && file[i + 1] != '\xC2')) continue;
    file[i + 5] = static_cast<char>(height >> 8), file[i + 6] = static_cast<char>(height);
    file[i + 7] = static_cast<char>(width >> 8), file[i + 8] = static_cast<char>(width);
    return;
  }
  FAIL() << "no frame header";
}

// Below the limit of pixels a header could still make a file of 1 KB cost 1.5 GB.
TEST(Hostile, MorePixelsThanTheBytesCanHold) {
  const int64_t before = PeakBytes();
  for (const auto& [name, original] : SmallFiles()) {
    if (name != "jpeg" && name != "progressive jpeg") continue;
    std::string file = original;
    SetJpegSize(file, 13000, 13000);
    SCOPED_TRACE(name);
    EXPECT_THAT(Decode(file),
                FailsWith(absl::StatusCode::kDataLoss, reason::kImageTruncated, "JPEG"));
  }
  EXPECT_THAT(Decode(testing::MakePngBomb(13000, 13000)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kImageTruncated, "PNG"));
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(PeakBytes() - before, int64_t{64} << 20);
#else
  (void)before;
#endif
  // The most that deflate and Huffman codes can pack is not taken for a lie.
  const Bytes black(size_t{2000} * 1500 * 3, 0);
  EXPECT_OK(Decode(testing::EncodePng(2000, 1500, black)));
  testing::JpegOptions options;
  options.subsampled = true;
  EXPECT_OK(Decode(testing::EncodeJpeg(2000, 1500, black, options)));
  options.progressive = true;
  EXPECT_OK(Decode(testing::EncodeJpeg(2000, 1500, black, options)));
  options.arithmetic = true;
  EXPECT_OK(Decode(testing::EncodeJpeg(2000, 1500, black, options)));
}

TEST(Hostile, NoPixels) {
  EXPECT_THAT(Decode(testing::MakePngBomb(0, 10)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kImageCorrupt, "edge"));
  EXPECT_THAT(Decode(testing::MakePngBomb(10, 0)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kImageCorrupt, "edge"));
  for (const auto& [width, height] : {std::pair(0, 16), std::pair(16, 0)}) {
    std::string jpeg = SmallFiles()[0].second;
    SetJpegSize(jpeg, width, height);
    EXPECT_THAT(Decode(jpeg),
                FailsWith(absl::StatusCode::kDataLoss, reason::kImageCorrupt, "JPEG"));
  }
}

// After one enormous image a thread goes back to working with small ones.
TEST(Hostile, AThreadDoesNotKeepTheLargestImageItEverSaw) {
  const Bytes flat(size_t{9000} * 4000 * 3, 9);  // 103 MiB of pixels
  DecodeScratch scratch;
  uint8_t out[8 * 8 * 3];
  CropSpec crop{{0, 0, 9000, 4000, false}, 8, out};
  ASSERT_OK(DecodeAndCrop(testing::EncodePng(9000, 4000, flat), {&crop, 1}, {}, &scratch));
  EXPECT_LE(scratch.image.rgb.capacity(), kMaxScratchBytes);
}

}  // namespace
}  // namespace seer::dataservice
