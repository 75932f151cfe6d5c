// GIF, BMP and TIFF of every kind that decoder.h names, against the pixels that were put into them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "dataservice/decode/decoder.h"
#include "tests/support/image_encoders.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

using testing::Bytes;
using testing::FailsWith;
using Palette = std::vector<std::array<uint8_t, 3>>;

constexpr int kWidth = 37, kHeight = 21;

Palette Colors(int count) {
  Palette palette;
  for (int i = 0; i < count; ++i)
    palette.push_back({static_cast<uint8_t>(i * 7 + 1), static_cast<uint8_t>(255 - i), 99});
  return palette;
}

Bytes Indices(int colors) {
  Bytes indices;
  for (int i = 0; i < kWidth * kHeight; ++i)
    indices.push_back(static_cast<uint8_t>((i * 5 + i / kWidth * 3) % colors));
  return indices;
}

Image Picture(const Bytes& indices, const Palette& palette) {
  Image image{kWidth, kHeight, {}};
  for (const uint8_t index : indices)
    image.rgb.insert(image.rgb.end(), palette[index].begin(), palette[index].end());
  return image;
}

Bytes Noise(int samples) {
  Bytes pixels;
  for (int i = 0; i < kWidth * kHeight * samples; ++i)
    pixels.push_back(static_cast<uint8_t>(i * 5 + i / 7 * 11 + 1));
  return pixels;
}

void ExpectDecodes(const std::string& file, ImageFormat format, const Image& expected,
                   int tolerance = 0) {
  ASSERT_OK_AND_ASSIGN(const ImageInfo info, ReadImageInfo(file));
  EXPECT_EQ(info, (ImageInfo{format, expected.width, expected.height}));
  ASSERT_OK_AND_ASSIGN(const Image image, Decode(file));
  ASSERT_EQ(image.rgb.size(), expected.rgb.size());
  int most = 0;
  for (size_t i = 0; i < image.rgb.size(); ++i)
    most = std::max(most, std::abs(image.rgb[i] - expected.rgb[i]));
  EXPECT_LE(most, tolerance);
}

TEST(Gif, EveryPaletteSizeStraightAndInterlaced) {
  for (const int colors : {2, 4, 16, 128, 256}) {
    for (const bool interlaced : {false, true}) {
      for (const bool local : {false, true}) {
        SCOPED_TRACE(absl::StrCat(colors, " colours, interlaced ", interlaced, ", local ", local));
        testing::GifOptions options;
        options.interlaced = interlaced;
        options.local_palette = local;
        const Bytes indices = Indices(colors);
        ExpectDecodes(testing::EncodeGif(kWidth, kHeight, indices, Colors(colors), options),
                      ImageFormat::kGif, Picture(indices, Colors(colors)));
      }
    }
  }
}

TEST(Gif, TheFrameLiesOnItsScreen) {
  const Palette palette = Colors(16);
  const Bytes frame = {3, 4, 5, 6};
  testing::GifOptions options{5, 4, 1, 2};
  options.transparent = 9;
  Image expected{5, 4, {}};
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 5; ++x) {
      const bool inside = x >= 1 && x < 3 && y >= 2;
      const auto& color = palette[inside ? frame[static_cast<size_t>((y - 2) * 2 + x - 1)] : 9];
      expected.rgb.insert(expected.rgb.end(), color.begin(), color.end());
    }
  }
  ExpectDecodes(testing::EncodeGif(2, 2, frame, palette, options), ImageFormat::kGif, expected);
  // A screen that is too small grows.
  options = {1, 1, 0, 0};
  ASSERT_OK_AND_ASSIGN(const Image grown,
                       Decode(testing::EncodeGif(2, 2, frame, palette, options)));
  EXPECT_EQ(grown.width, 2);
  EXPECT_EQ(grown.height, 2);
}

TEST(Gif, OnlyTheFirstFrameCounts) {
  const Bytes first = Indices(16), second(first.size(), 7);
  std::string file = testing::EncodeGif(kWidth, kHeight, first, Colors(16));
  const std::string other = testing::EncodeGif(kWidth, kHeight, second, Colors(16));
  const size_t header = 13 + 16 * 3;  // up to the first block
  file = file.substr(0, file.size() - 1) + other.substr(header);
  ExpectDecodes(file, ImageFormat::kGif, Picture(first, Colors(16)));
}

TEST(Gif, AScreenThatSoFewBytesCannotFillIsRefused) {
  testing::GifOptions options{13000, 13000, 0, 0};
  EXPECT_THAT(Decode(testing::EncodeGif(2, 2, {0, 1, 1, 0}, Colors(2), options)),
              FailsWith(absl::StatusCode::kDataLoss, reason::kImageTruncated, "GIF"));
  // What LZW packs best is not taken for a lie.
  const Bytes flat(size_t{1500} * 1000, 1);
  EXPECT_OK(Decode(testing::EncodeGif(1500, 1000, flat, Colors(2))));
}

TEST(Bmp, PalettesOfEveryDepth) {
  for (const int bits : {1, 4, 8}) {
    for (const bool core : {false, true}) {
      for (const bool from_top : {false, true}) {
        if (core && from_top) continue;
        SCOPED_TRACE(absl::StrCat(bits, " bits, core ", core, ", from the top ", from_top));
        const int colors = 1 << bits;
        const Bytes indices = Indices(colors);
        testing::BmpOptions options{bits, from_top, core, {}, Colors(colors)};
        ExpectDecodes(
            testing::EncodeBmp(kWidth, kHeight, {indices.begin(), indices.end()}, options),
            ImageFormat::kBmp, Picture(indices, Colors(colors)));
      }
    }
  }
}

TEST(Bmp, TrueColoursAndMasks) {
  const Bytes rgb = Noise(3);
  const Image image{kWidth, kHeight, rgb};
  std::vector<uint32_t> full;
  for (size_t i = 0; i < rgb.size(); i += 3)
    full.push_back(uint32_t{rgb[i + 2]} | uint32_t{rgb[i + 1]} << 8 | uint32_t{rgb[i]} << 16);
  ExpectDecodes(testing::EncodeBmp(kWidth, kHeight, full, {24}), ImageFormat::kBmp, image);
  ExpectDecodes(testing::EncodeBmp(kWidth, kHeight, full, {24, true}), ImageFormat::kBmp, image);
  ExpectDecodes(testing::EncodeBmp(kWidth, kHeight, full, {24, false, true}), ImageFormat::kBmp,
                image);
  ExpectDecodes(testing::EncodeBmp(kWidth, kHeight, full, {32}), ImageFormat::kBmp, image);
  // Ten bits a channel, red lowest: the upper eight are kept.
  std::vector<uint32_t> wide;
  for (size_t i = 0; i < rgb.size(); i += 3)
    wide.push_back(uint32_t{rgb[i]} << 2 | uint32_t{rgb[i + 1]} << 12 | uint32_t{rgb[i + 2]} << 22);
  testing::BmpOptions masked{32, false, false, {0x3FF, 0xFFC00, 0x3FF00000}, {}};
  ExpectDecodes(testing::EncodeBmp(kWidth, kHeight, wide, masked), ImageFormat::kBmp, image);
}

TEST(Bmp, SixteenBitsAreStretchedToEight) {
  for (const bool masked : {false, true}) {  // 5 5 5, and 5 6 5 by masks
    std::vector<uint32_t> pixels;
    Image image{kWidth, kHeight, {}};
    const int green = masked ? 6 : 5;
    for (int i = 0; i < kWidth * kHeight; ++i) {
      const int r = i % 32, g = i * 3 % (1 << green), b = i * 7 % 32;
      pixels.push_back(static_cast<uint32_t>(r << (5 + green) | g << 5 | b));
      image.rgb.push_back(static_cast<uint8_t>(std::lround(r * 255 / 31.0)));
      image.rgb.push_back(static_cast<uint8_t>(std::lround(g * 255.0 / ((1 << green) - 1))));
      image.rgb.push_back(static_cast<uint8_t>(std::lround(b * 255 / 31.0)));
    }
    testing::BmpOptions options;
    options.bits = 16;
    if (masked) options.masks = {0xF800, 0x07E0, 0x001F};
    ExpectDecodes(testing::EncodeBmp(kWidth, kHeight, pixels, options), ImageFormat::kBmp, image);
  }
}

TEST(Bmp, WhatIsNotReadIsSaid) {
  const std::string good = testing::EncodeBmp(4, 4, std::vector<uint32_t>(16, 5), {24});
  const auto with = [&](size_t at, uint8_t byte) {
    std::string file = good;
    file[at] = static_cast<char>(byte);
    return Decode(file).status();
  };
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(with(30, 1), FailsWith(kBad, reason::kUnknownFormat, "compression 1"));
  EXPECT_THAT(with(30, 4), FailsWith(kBad, reason::kUnknownFormat, "compression 4"));
  EXPECT_THAT(with(28, 2), FailsWith(kBad, reason::kUnknownFormat, "2 bits"));
  EXPECT_THAT(with(14, 64), FailsWith(kBad, reason::kUnknownFormat, "header of 64 bytes"));
  constexpr auto kLost = absl::StatusCode::kDataLoss;
  EXPECT_THAT(with(21, 0x80), FailsWith(kLost, reason::kImageCorrupt, "negative width"));
  EXPECT_THAT(with(10, 20), FailsWith(kLost, reason::kImageCorrupt, "inside the header"));
  EXPECT_THAT(with(18, 0), FailsWith(kLost, reason::kImageCorrupt, "edge"));
  EXPECT_THAT(with(22, 5), FailsWith(kLost, reason::kImageTruncated, "BMP"));
  EXPECT_THAT(with(19, 0x30), FailsWith(kLost, reason::kImageTruncated, "BMP"));
  testing::BmpOptions holes{32, false, false, {0xFF, 0xFF00, 0xF0F0000}, {}};
  EXPECT_THAT(Decode(testing::EncodeBmp(1, 1, {0}, holes)),
              FailsWith(kLost, reason::kImageCorrupt, "colour mask"));
}

TEST(Tiff, RgbInStripsTilesPlanesAndBothByteOrders) {
  const Bytes rgb = Noise(3);
  const Image image{kWidth, kHeight, rgb};
  for (const int compression : {1, 5, 8, 32773}) {
    for (const bool planar : {false, true}) {
      for (const int tile : {0, 16}) {
        for (const int rows : {0, 4}) {
          for (const int bits : {8, 16}) {
            SCOPED_TRACE(absl::StrCat("compression ", compression, " planar ", planar, " tile ",
                                      tile, " rows ", rows, " bits ", bits));
            testing::TiffOptions options;
            options.compression = compression;
            options.planar = planar;
            options.tile = tile;
            options.rows_per_strip = rows;
            options.bits = bits;
            options.big_endian = rows == 4;
            ExpectDecodes(testing::EncodeTiff(kWidth, kHeight, rgb, options), ImageFormat::kTiff,
                          image);
          }
        }
      }
    }
  }
}

TEST(Tiff, GreyPaletteAndJpeg) {
  Bytes grey = Noise(1), inverted;
  Image image{kWidth, kHeight, {}};
  for (const uint8_t level : grey) {
    inverted.push_back(static_cast<uint8_t>(255 - level));
    image.rgb.insert(image.rgb.end(), 3, level);
  }
  testing::TiffOptions options;
  options.samples = 1;
  ExpectDecodes(testing::EncodeTiff(kWidth, kHeight, grey, options), ImageFormat::kTiff, image);
  options.white_is_zero = true;
  ExpectDecodes(testing::EncodeTiff(kWidth, kHeight, inverted, options), ImageFormat::kTiff, image);
  options.white_is_zero = false;
  options.palette = Colors(256);
  const Bytes indices = Indices(256);
  ExpectDecodes(testing::EncodeTiff(kWidth, kHeight, indices, options), ImageFormat::kTiff,
                Picture(indices, Colors(256)));
  Image slow{64, 48, {}};
  for (int i = 0; i < 64 * 48; ++i) {
    for (const int level : {40 + i % 64 * 2, 200 - i / 64 * 3, 100})
      slow.rgb.push_back(static_cast<uint8_t>(level));
  }
  testing::TiffOptions jpeg;
  jpeg.compression = 7;
  jpeg.rows_per_strip = 16;
  ExpectDecodes(testing::EncodeTiff(64, 48, slow.rgb, jpeg), ImageFormat::kTiff, slow, 8);
}

TEST(Tiff, AlphaIsDroppedNotMultipliedIn) {
  const Bytes rgba = Noise(4);
  Image image{kWidth, kHeight, {}};
  for (size_t i = 0; i < rgba.size(); i += 4)
    image.rgb.insert(image.rgb.end(), &rgba[i], &rgba[i] + 3);
  testing::TiffOptions options;
  options.samples = 4;
  for (const bool planar : {false, true}) {
    options.planar = planar;
    ExpectDecodes(testing::EncodeTiff(kWidth, kHeight, rgba, options), ImageFormat::kTiff, image);
  }
}

TEST(Tiff, EveryOrientationComesOutUpright) {
  // A picture that no turn leaves as it is: its pixel (0, 0) and the next to the right are marked.
  const Bytes rgb = Noise(3);
  const struct {
    int orientation, x, y;  // where the stored pixel (0, 0) lies in the picture
  } corners[] = {{1, 0, 0}, {2, kWidth - 1, 0},  {3, kWidth - 1, kHeight - 1}, {4, 0, kHeight - 1},
                 {5, 0, 0}, {6, kHeight - 1, 0}, {7, kHeight - 1, kWidth - 1}, {8, 0, kWidth - 1}};
  for (const auto& corner : corners) {
    SCOPED_TRACE(corner.orientation);
    testing::TiffOptions options;
    options.orientation = corner.orientation;
    options.rows_per_strip = 5;
    const std::string file = testing::EncodeTiff(kWidth, kHeight, rgb, options);
    ASSERT_OK_AND_ASSIGN(const ImageInfo info, ReadImageInfo(file));
    ASSERT_OK_AND_ASSIGN(const Image image, Decode(file));
    EXPECT_EQ(info.width, corner.orientation > 4 ? kHeight : kWidth);
    EXPECT_EQ(image.width, info.width);
    EXPECT_EQ(image.height, info.height);
    const size_t at = (static_cast<size_t>(corner.y) * image.width + corner.x) * 3;
    EXPECT_EQ(std::vector(rgb.begin(), rgb.begin() + 3),
              std::vector(image.rgb.begin() + static_cast<long>(at),
                          image.rgb.begin() + static_cast<long>(at) + 3));
  }
}

TEST(Tiff, WhatIsNotReadIsSaid) {
  testing::TiffOptions lzw;
  lzw.compression = 5;
  const std::string good = testing::EncodeTiff(kWidth, kHeight, Noise(3), lzw);
  // A tag of the directory, little-endian: number, type, count, value.
  const auto with = [&](uint16_t tag, uint32_t value) {
    std::string file = good;
    const uint32_t directory = static_cast<uint8_t>(file[4]) | static_cast<uint8_t>(file[5]) << 8;
    for (size_t at = directory + 2; at + 12 <= file.size(); at += 12) {
      if (static_cast<uint8_t>(file[at]) != (tag & 0xFF) ||
          static_cast<uint8_t>(file[at + 1]) != tag >> 8) {
        continue;
      }
      file[at + 2] = 4;  // a LONG
      for (size_t i = 0; i < 4; ++i) file[at + 8 + i] = static_cast<char>(value >> (8 * i));
      return Decode(file).status();
    }
    return absl::NotFoundError("no such tag");
  };
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  constexpr auto kLost = absl::StatusCode::kDataLoss;
  EXPECT_THAT(with(259, 4), FailsWith(kBad, reason::kUnknownFormat, "compression 4"));
  EXPECT_THAT(with(259, 34925), FailsWith(kBad, reason::kUnknownFormat, "compression 34925"));
  EXPECT_THAT(with(262, 32844), FailsWith(kBad, reason::kUnknownFormat, "TIFF"));
  EXPECT_THAT(with(256, 0), FailsWith(kLost, reason::kImageCorrupt, "TIFF"));
  EXPECT_THAT(with(256, 8'000'000),
              FailsWith(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge, "strip"));
  EXPECT_THAT(with(256, 170'000'000),
              FailsWith(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge, "pixels"));
  EXPECT_THAT(with(273, 1'000'000), FailsWith(kLost, reason::kImageTruncated, "TIFF"));
}

}  // namespace
}  // namespace seer::dataservice
