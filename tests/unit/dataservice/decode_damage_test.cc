// What a pool nobody curated sends: cut off, damaged and hostile files. Every one gives an error
// or an image, in bounded memory.
#include <gtest/gtest.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/philox.h"
#include "dataservice/decode/decoder.h"
#include "tests/support/damaged_images.h"
#include "tests/support/image_encoders.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

using testing::Bytes;
using testing::FailsWith;

constexpr int kPixels = testing::kSmallWidth * testing::kSmallHeight;

TEST(Damage, ThereIsAnErrorWhereverAFileIsCutOff) {
  for (const auto& [name, file] : testing::SmallImageFiles()) {
    ASSERT_OK(Decode(file)) << name;
    // What follows a GIF's frame is not read: here one byte that says that nothing follows.
    const size_t needed = name.find("gif") == std::string::npos ? file.size() : file.size() - 1;
    for (size_t size = 0; size < needed; ++size) {
      SCOPED_TRACE(absl::StrCat(name, " of ", file.size(), " bytes cut to ", size));
      // A copy of exactly that size, so that a sanitizer sees a read past its end.
      testing::ExpectSafe(std::string(file.data(), size), /*must_fail=*/true);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Damage, FlippedBitsGiveAnErrorOrAnImageInBoundedMemory) {
  const int64_t before = testing::PeakBytes();
  for (const auto& [name, file] : testing::SmallImageFiles()) {
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
      testing::ExpectSafe(damaged, false, limits);
      if (HasFatalFailure()) return;
    }
  }
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(testing::PeakBytes() - before, int64_t{64} << 20)
      << "a small file asked for much memory";
#else
  (void)before;
#endif
}

TEST(Damage, RandomBytesBehindEveryMagicNumber) {
  Philox random(6, RandomPurpose::kTest, 0);
  const std::array<std::string, 7> starts = {
      std::string("\xFF\xD8\xFF"),
      std::string("\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10", 24),
      std::string("RIFF\x90\x01\0\0WEBPVP8 ", 16),
      std::string("RIFF\x90\x01\0\0WEBPVP8L", 16),
      std::string("GIF89a\x10\0\x10\0\0\0\0,\0\0\0\0\x10\0\x10\0\0\x08", 24),
      std::string("BM\xA0\x01\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\0\0\0\x06\0\0\0", 26),
      std::string("II*\0\x08\0\0\0\x10\0\0\x01\x03\0\x01\0\0\0\x10\0\0\0", 22)};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = starts[static_cast<size_t>(round) % starts.size()];
    for (int i = 0; i < 400; ++i) bytes.push_back(static_cast<char>(random.Next32()));
    SCOPED_TRACE(round);
    testing::ExpectSafe(bytes, false);
    if (HasFatalFailure()) return;
  }
}

TEST(Damage, ReasonsTellCutOffFromDamaged) {
  for (const auto& [name, file] : testing::SmallImageFiles()) {
    SCOPED_TRACE(name);
    EXPECT_THAT(Decode(file.substr(0, file.size() - file.size() / 4)),
                FailsWith(absl::StatusCode::kDataLoss, reason::kImageTruncated, "end too early"));
  }
  std::string png = testing::SmallImageFiles()[5].second;
  png[png.size() / 2] ^= 1;
  EXPECT_THAT(Decode(png), FailsWith(absl::StatusCode::kDataLoss, reason::kImageCorrupt, "PNG"));
}

TEST(Hostile, NotAnImage) {
  for (const std::string& bytes :
       {std::string(), std::string("this is not an image"), std::string("\xFF\xD8"),
        std::string("GIF88a"), std::string("BM, a text that begins like a BMP"),
        std::string("II+\0", 4), std::string("RIFF\0\0\0\0WAVE", 12), std::string(100, '\0')}) {
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
  for (const auto& [name, file] : testing::SmallImageFiles()) {
    SCOPED_TRACE(name);
    DecodeOptions options;
    options.limits.max_pixels = kPixels;
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
  const int64_t before = testing::PeakBytes();
  for (const auto& [name, original] : testing::SmallImageFiles()) {
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
  EXPECT_LT(testing::PeakBytes() - before, int64_t{64} << 20);
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

// libpng took the memory that an eXIf chunk claims before it looked for its bytes.
TEST(Hostile, AChunkLongerThanItsFile) {
  testing::PngOptions options;
  options.orientation = 6;
  std::string png = testing::EncodePng(2, 2, Bytes(12, 7), options);
  const size_t length_at = png.find("eXIf") - 4;
  png[length_at] = 0x40;  // 1 GiB
  for (const absl::Status& status : {ReadImageInfo(png).status(), Decode(png).status()}) {
    EXPECT_THAT(status, FailsWith(absl::StatusCode::kDataLoss, reason::kImageTruncated, "PNG"));
  }
}

TEST(Hostile, NoPixels) {
  EXPECT_THAT(Decode(testing::MakePngBomb(0, 10)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kImageCorrupt, "edge"));
  EXPECT_THAT(Decode(testing::MakePngBomb(10, 0)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kImageCorrupt, "edge"));
  for (const auto& [width, height] : {std::pair(0, 16), std::pair(16, 0)}) {
    std::string jpeg = testing::SmallImageFiles()[0].second;
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
