#include "tests/support/damaged_images.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <set>

#include "absl/strings/string_view.h"
#include "common/base/error.h"
#include "tests/support/image_encoders.h"

namespace seer::testing {
namespace {

Bytes Pixels(int channels) {
  Bytes pixels;
  for (int i = 0; i < kSmallWidth * kSmallHeight * channels; ++i)
    pixels.push_back(static_cast<uint8_t>(i * 5 + i / 7 * 11 + 1));
  return pixels;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> SmallImageFiles() {
  const Bytes grey = Pixels(1), rgb = Pixels(3), four = Pixels(4);
  JpegOptions progressive, cmyk, exif, arithmetic;
  progressive.progressive = progressive.subsampled = true;
  cmyk.components = 4;
  cmyk.ycck = true;
  exif.orientation = 6;
  exif.restart_rows = 1;
  arithmetic.arithmetic = true;
  PngOptions palette;
  palette.color_type = 3;
  for (int i = 0; i < 256; ++i) palette.palette.push_back({static_cast<uint8_t>(i), 1, 2});
  palette.palette_alpha = {1, 2, 3};
  PngOptions oriented;
  oriented.orientation = 5;
  oriented.interlaced = true;
  GifOptions gif;
  gif.interlaced = gif.local_palette = true;
  BmpOptions bmp;
  bmp.bits = 8;
  bmp.palette = palette.palette;
  TiffOptions lzw, tiles, jpeg_tiff;
  lzw.compression = 5;
  lzw.rows_per_strip = 4;
  lzw.orientation = 6;
  tiles.compression = 8;
  tiles.samples = 4;
  tiles.tile = 16;
  jpeg_tiff.compression = 7;
  jpeg_tiff.big_endian = true;
  const auto jpeg = [&](const Bytes& pixels, const JpegOptions& options) {
    return EncodeJpeg(kSmallWidth, kSmallHeight, pixels, options);
  };
  return {
      {"jpeg", jpeg(rgb, {})},
      {"progressive jpeg", jpeg(rgb, progressive)},
      {"ycck jpeg", jpeg(four, cmyk)},
      {"jpeg with exif and restarts", jpeg(rgb, exif)},
      {"arithmetic jpeg", jpeg(rgb, arithmetic)},
      {"png", EncodePng(kSmallWidth, kSmallHeight, rgb)},
      {"palette png", EncodePng(kSmallWidth, kSmallHeight, grey, palette)},
      {"interlaced png with exif", EncodePng(kSmallWidth, kSmallHeight, rgb, oriented)},
      {"lossy webp", EncodeWebp(kSmallWidth, kSmallHeight, rgb, false)},
      {"lossless webp with alpha", EncodeWebp(kSmallWidth, kSmallHeight, four, true, 4)},
      {"webp with exif", ExtendWebp(EncodeWebp(kSmallWidth, kSmallHeight, rgb, true), kSmallWidth,
                                    kSmallHeight, 8, {{"EXIF", ExifBlock(7, true)}})},
      {"gif", EncodeGif(kSmallWidth, kSmallHeight, grey, palette.palette)},
      {"interlaced gif", EncodeGif(kSmallWidth, kSmallHeight, grey, palette.palette, gif)},
      {"bmp", EncodeBmp(kSmallWidth, kSmallHeight,
                        {rgb.begin(), rgb.begin() + kSmallWidth * kSmallHeight}, BmpOptions())},
      {"palette bmp", EncodeBmp(kSmallWidth, kSmallHeight, {grey.begin(), grey.end()}, bmp)},
      {"tiff", EncodeTiff(kSmallWidth, kSmallHeight, rgb, {})},
      {"lzw tiff in strips", EncodeTiff(kSmallWidth, kSmallHeight, rgb, lzw)},
      {"deflate tiff in tiles", EncodeTiff(kSmallWidth, kSmallHeight, four, tiles)},
      {"jpeg tiff", EncodeTiff(kSmallWidth, kSmallHeight, rgb, jpeg_tiff)}};
}

int64_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

void ExpectSafe(const std::string& bytes, bool must_fail, const dataservice::DecodeLimits& limits) {
  using dataservice::CropSpec;
  static const auto& reasons =
      *new std::set<absl::string_view>{reason::kUnknownFormat, reason::kImageTooLarge,
                                       reason::kImageTruncated, reason::kImageCorrupt};
  const auto info = dataservice::ReadImageInfo(bytes, limits);
  const auto image = dataservice::Decode(bytes, {0, 0, limits});
  absl::Status cropped = info.status();
  if (info.ok()) {
    ASSERT_GT(info->width, 0);
    ASSERT_GT(info->height, 0);
    uint8_t out[8 * 8 * 3];
    const double width = info->width, height = info->height;
    const CropSpec crop{{0, 0, width, height, false}, 8, out};
    cropped = dataservice::DecodeAndCrop(bytes, {&crop, 1}, limits).status();
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

}  // namespace seer::testing
