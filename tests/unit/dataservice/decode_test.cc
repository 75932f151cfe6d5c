// Every kind of file that decoder.h names, against the pixels that were put into it.
#include "dataservice/decode/decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>

#include "common/base/philox.h"
#include "tests/support/image_encoders.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

using testing::Bytes;
using testing::EncodeJpeg;
using testing::EncodePng;
using testing::EncodeWebp;
using testing::JpegOptions;
using testing::PngOptions;

// Colours that change slowly, so that a lossy coder keeps them within a few levels.
Image Smooth(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.rgb.push_back(static_cast<uint8_t>(40 + 160 * x / width));
      image.rgb.push_back(static_cast<uint8_t>(210 - 150 * y / height));
      image.rgb.push_back(static_cast<uint8_t>(60 + 60 * x / width + 70 * y / height));
    }
  }
  return image;
}

// The largest difference of a byte; a different size counts as 255.
int MaxDifference(const Image& a, const Image& b) {
  if (a.width != b.width || a.height != b.height || a.rgb.size() != b.rgb.size()) return 255;
  int most = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) most = std::max(most, std::abs(a.rgb[i] - b.rgb[i]));
  return most;
}

// Decodes, checks the header's answer as well, and compares.
void ExpectDecodes(const std::string& file, ImageFormat format, const Image& expected,
                   int tolerance) {
  ASSERT_OK_AND_ASSIGN(const ImageInfo info, ReadImageInfo(file));
  EXPECT_EQ(info, (ImageInfo{format, expected.width, expected.height}));
  ASSERT_OK_AND_ASSIGN(const Image image, Decode(file));
  EXPECT_LE(MaxDifference(image, expected), tolerance);
}

TEST(Jpeg, RgbOfBothSamplings) {
  const Image image = Smooth(67, 45);  // not a multiple of a block
  ExpectDecodes(EncodeJpeg(67, 45, image.rgb), ImageFormat::kJpeg, image, 6);
  JpegOptions options;
  options.subsampled = true;
  ExpectDecodes(EncodeJpeg(67, 45, image.rgb, options), ImageFormat::kJpeg, image, 10);
}

TEST(Jpeg, ProgressiveArithmeticAndRestarts) {
  const Image image = Smooth(67, 45);
  JpegOptions progressive, arithmetic, restarts;
  progressive.progressive = arithmetic.arithmetic = true;
  restarts.restart_rows = 1;
  ASSERT_OK_AND_ASSIGN(const Image baseline, Decode(EncodeJpeg(67, 45, image.rgb)));
  for (const JpegOptions& options : {progressive, arithmetic, restarts}) {
    const std::string file = EncodeJpeg(67, 45, image.rgb, options);
    ExpectDecodes(file, ImageFormat::kJpeg, image, 6);
    // The same coefficients in another order of bits: equal, not only close.
    ASSERT_OK_AND_ASSIGN(const Image decoded, Decode(file));
    EXPECT_EQ(MaxDifference(decoded, baseline), 0);
  }
}

TEST(Jpeg, GreyFillsAllThreeChannels) {
  Bytes grey;
  Image expected{40, 24, {}};
  for (int i = 0; i < 40 * 24; ++i) {
    grey.push_back(static_cast<uint8_t>(30 + i % 40 * 5));
    expected.rgb.insert(expected.rgb.end(), 3, grey.back());
  }
  JpegOptions options;
  options.components = 1;
  ExpectDecodes(EncodeJpeg(40, 24, grey, options), ImageFormat::kJpeg, expected, 4);
}

TEST(Jpeg, CmykAndYcckAsAdobeStoresThem) {
  // 255 is no ink: red is full in yellow and magenta; black ink darkens all three.
  const uint8_t inks[4][4] = {
      {255, 0, 0, 255}, {0, 255, 128, 255}, {255, 255, 255, 100}, {200, 150, 100, 128}};
  Bytes cmyk;
  Image expected{64, 16, {}};
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 64; ++x) {
      const uint8_t* ink = inks[x / 16];
      cmyk.insert(cmyk.end(), ink, ink + 4);
      for (int c = 0; c < 3; ++c)
        expected.rgb.push_back(static_cast<uint8_t>(std::lround(ink[c] * ink[3] / 255.0)));
    }
  }
  JpegOptions options;
  options.components = 4;
  options.quality = 100;
  ExpectDecodes(EncodeJpeg(64, 16, cmyk, options), ImageFormat::kJpeg, expected, 2);
  options.ycck = true;
  ExpectDecodes(EncodeJpeg(64, 16, cmyk, options), ImageFormat::kJpeg, expected, 3);
}

// Where row 0 and column 0 of the stored image lie in the picture, as the EXIF standard has it.
Image StoredAs(const Image& upright, int orientation) {
  const bool swap = orientation >= 5;
  Image stored{swap ? upright.height : upright.width, swap ? upright.width : upright.height, {}};
  const char* row0 =
      std::array{
          "top", "top", "bottom", "bottom", "left", "right", "right", "left"}[static_cast<size_t>(
          orientation - 1)];
  const char* column0 = std::array{"left", "right", "right",  "left",
                                   "top",  "top",   "bottom", "bottom"}[static_cast<size_t>(
      orientation - 1)];
  for (int row = 0; row < stored.height; ++row) {
    for (int column = 0; column < stored.width; ++column) {
      int x = -1, y = -1;
      for (const auto& [side, at] :
           {std::pair(std::string(row0), row), std::pair(std::string(column0), column)}) {
        if (side == "top") y = at;
        if (side == "bottom") y = upright.height - 1 - at;
        if (side == "left") x = at;
        if (side == "right") x = upright.width - 1 - at;
      }
      const auto* pixel = &upright.rgb[(static_cast<size_t>(y) * upright.width + x) * 3];
      stored.rgb.insert(stored.rgb.end(), pixel, pixel + 3);
    }
  }
  return stored;
}

TEST(Exif, EveryOrientationComesOutUprightInAllFormats) {
  const Image upright = Smooth(45, 30);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);
    const Image stored = StoredAs(upright, orientation);
    const int w = stored.width, h = stored.height;
    JpegOptions jpeg;
    jpeg.orientation = orientation;
    ExpectDecodes(EncodeJpeg(w, h, stored.rgb, jpeg), ImageFormat::kJpeg, upright, 8);
    jpeg.big_endian = true;
    jpeg.progressive = true;
    ExpectDecodes(EncodeJpeg(w, h, stored.rgb, jpeg), ImageFormat::kJpeg, upright, 8);
    PngOptions png;
    png.orientation = orientation;
    ExpectDecodes(EncodePng(w, h, stored.rgb, png), ImageFormat::kPng, upright, 0);
    for (const std::string prefix : {std::string(), std::string("Exif\0\0", 6)}) {
      const std::string webp = testing::ExtendWebp(
          EncodeWebp(w, h, stored.rgb, true), w, h, 0x08,
          {{"EXIF", prefix + testing::ExifBlock(orientation, !prefix.empty())}});
      ExpectDecodes(webp, ImageFormat::kWebp, upright, 0);
    }
    // Boxes are in upright pixels.
    Bytes out(8 * 8 * 3);
    const CropSpec crop{{30, 20, 8, 8, false}, 8, out.data()};
    ASSERT_OK(DecodeAndCrop(EncodePng(w, h, stored.rgb, png), {&crop, 1}));
    EXPECT_EQ(std::vector(out.begin(), out.begin() + 3),
              std::vector(upright.rgb.begin() + (20 * 45 + 30) * 3,
                          upright.rgb.begin() + (20 * 45 + 30) * 3 + 3));
  }
}

TEST(Exif, AWrongOrientationDoesNotLoseTheImage) {
  const Image image = Smooth(20, 12);
  for (const int orientation : {9, 255, 65535}) {
    PngOptions png;
    png.orientation = orientation;
    ExpectDecodes(EncodePng(20, 12, image.rgb, png), ImageFormat::kPng, image, 0);
  }
  const std::string exif = testing::ExifBlock(6, false);
  for (size_t size = 0; size < 36; ++size) {  // cut off before the tag's value
    const std::string webp = testing::ExtendWebp(EncodeWebp(20, 12, image.rgb, true), 20, 12, 0x08,
                                                 {{"EXIF", exif.substr(0, size)}});
    if (size < 32) ExpectDecodes(webp, ImageFormat::kWebp, image, 0);
    EXPECT_OK(Decode(webp)) << size;
  }
}

// Packs samples of `depth` bits as PNG wants them.
Bytes Pack(int width, int height, int depth, const std::function<int(int, int)>& sample) {
  Bytes rows;
  for (int y = 0; y < height; ++y) {
    const size_t row = rows.size();
    rows.resize(row + (static_cast<size_t>(width) * depth + 7) / 8);
    for (int x = 0; x < width; ++x) {
      const int bit = x * depth;
      rows[row + bit / 8] |= static_cast<uint8_t>(sample(x, y) << (8 - depth - bit % 8));
    }
  }
  return rows;
}

TEST(Png, GreyOfEveryDepth) {
  for (const int depth : {1, 2, 4, 8}) {
    for (const bool interlaced : {false, true}) {
      const int levels = (1 << depth) - 1;
      const auto sample = [&](int x, int y) { return (x * 3 + y) & levels; };
      Image expected{19, 13, {}};
      for (int y = 0; y < 13; ++y)
        for (int x = 0; x < 19; ++x)
          expected.rgb.insert(expected.rgb.end(), 3,
                              static_cast<uint8_t>(sample(x, y) * 255 / levels));
      PngOptions options{0, depth, interlaced};
      ExpectDecodes(EncodePng(19, 13, Pack(19, 13, depth, sample), options), ImageFormat::kPng,
                    expected, 0);
      options.transparent_grey = 1;  // drops out: the pixels stay as they are
      ExpectDecodes(EncodePng(19, 13, Pack(19, 13, depth, sample), options), ImageFormat::kPng,
                    expected, 0);
    }
  }
}

TEST(Png, PaletteWithAndWithoutTransparency) {
  for (const int depth : {1, 2, 4, 8}) {
    PngOptions options{3, depth};
    const int colors = std::min(1 << depth, 200);
    for (int i = 0; i < colors; ++i)
      options.palette.push_back({static_cast<uint8_t>(i * 7), static_cast<uint8_t>(255 - i), 99});
    const auto sample = [&](int x, int y) { return (x + 5 * y) % colors; };
    Image expected{21, 9, {}};
    for (int y = 0; y < 9; ++y)
      for (int x = 0; x < 21; ++x)
        for (const uint8_t byte : options.palette[static_cast<size_t>(sample(x, y))])
          expected.rgb.push_back(byte);
    for (const bool interlaced : {false, true}) {
      options.interlaced = interlaced;
      options.palette_alpha = {};
      const Bytes rows = Pack(21, 9, depth, sample);
      ExpectDecodes(EncodePng(21, 9, rows, options), ImageFormat::kPng, expected, 0);
      options.palette_alpha = {0, 128};
      ExpectDecodes(EncodePng(21, 9, rows, options), ImageFormat::kPng, expected, 0);
    }
  }
}

TEST(Png, AlphaIsDroppedNotMultipliedIn) {
  const Image image = Smooth(18, 11);
  Bytes rgba, grey_alpha;
  Image grey{18, 11, {}};
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    rgba.insert(rgba.end(), &image.rgb[i], &image.rgb[i] + 3);
    rgba.push_back(static_cast<uint8_t>(i));
    grey_alpha.insert(grey_alpha.end(), {image.rgb[i], static_cast<uint8_t>(i)});
    grey.rgb.insert(grey.rgb.end(), 3, image.rgb[i]);
  }
  ExpectDecodes(EncodePng(18, 11, rgba, {6, 8}), ImageFormat::kPng, image, 0);
  ExpectDecodes(EncodePng(18, 11, grey_alpha, {4, 8, true}), ImageFormat::kPng, grey, 0);
}

TEST(Png, Of16BitsTheUpper8AreKept) {
  const Image image = Smooth(18, 11);
  Image grey{18, 11, {}};
  Bytes rgb16, grey16, rgba16;
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    rgb16.insert(rgb16.end(), {image.rgb[i], static_cast<uint8_t>(i * 37)});
    rgba16.insert(rgba16.end(), {image.rgb[i], static_cast<uint8_t>(i * 37)});
    if (i % 3 == 2) rgba16.insert(rgba16.end(), {static_cast<uint8_t>(i), 7});
    if (i % 3 != 0) continue;
    grey16.insert(grey16.end(), {image.rgb[i], 0xFF});
    grey.rgb.insert(grey.rgb.end(), 3, image.rgb[i]);
  }
  ExpectDecodes(EncodePng(18, 11, rgb16, {2, 16}), ImageFormat::kPng, image, 0);
  ExpectDecodes(EncodePng(18, 11, rgba16, {6, 16, true}), ImageFormat::kPng, image, 0);
  ExpectDecodes(EncodePng(18, 11, grey16, {0, 16}), ImageFormat::kPng, grey, 0);
}

TEST(Webp, LossyLosslessAndAlpha) {
  const Image image = Smooth(50, 34);
  ExpectDecodes(EncodeWebp(50, 34, image.rgb, true), ImageFormat::kWebp, image, 0);
  ExpectDecodes(EncodeWebp(50, 34, image.rgb, false), ImageFormat::kWebp, image, 16);
  Bytes rgba;
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    rgba.insert(rgba.end(), &image.rgb[i], &image.rgb[i] + 3);
    rgba.push_back(static_cast<uint8_t>(1 + i % 255));  // never 0: there the coder forgets colours
  }
  ExpectDecodes(EncodeWebp(50, 34, rgba, true, 4), ImageFormat::kWebp, image, 0);
  ExpectDecodes(EncodeWebp(50, 34, rgba, false, 4), ImageFormat::kWebp, image, 16);
}

TEST(Webp, AnimationIsRefused) {
  const Image image = Smooth(16, 16);
  const std::string animated = testing::ExtendWebp(EncodeWebp(16, 16, image.rgb, true), 16, 16,
                                                   0x02, {{"ANIM", std::string(6, '\0')}});
  for (const absl::Status& status : {ReadImageInfo(animated).status(), Decode(animated).status()}) {
    EXPECT_THAT(status, testing::FailsWith(absl::StatusCode::kInvalidArgument,
                                           reason::kUnknownFormat, "animated"));
  }
}

TEST(Decode, JpegComesOutSmallerWhereThatSuffices) {
  const Image image = Smooth(160, 96);
  const std::string file = EncodeJpeg(160, 96, image.rgb);
  const auto decode = [&](int width, int height) {
    DecodeOptions options;
    options.min_width = width;
    options.min_height = height;
    return *Decode(file, options);
  };
  for (const auto& [least_width, least_height, width] :
       {std::tuple(160, 96, 160), std::tuple(81, 1, 160), std::tuple(80, 48, 80),
        std::tuple(1, 25, 80), std::tuple(40, 24, 40), std::tuple(20, 12, 20),
        std::tuple(1, 1, 20)}) {
    const Image small = decode(least_width, least_height);
    EXPECT_EQ(small.width, width);
    EXPECT_EQ(small.height, width * 96 / 160);
    const Image expected = Smooth(small.width, small.height);
    // A pixel of the small image is the mean of those it stands for: half a step off at most.
    EXPECT_LE(MaxDifference(small, expected), 4 + 160 / width * 2) << width;
  }
}

// A picture with detail of all sizes down to two pixels.
Image Detailed(int width, int height) {
  Image image{width, height, {}};
  Philox random(31, RandomPurpose::kTest, 0);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const double value = 128 + 50 * std::sin(x * 0.031 + c) * std::cos(y * 0.023) +
                             25 * std::sin(x * 0.4 + y * 0.17) + 15 * std::sin(x * 1.9 - y * 2.3) +
                             random.Uniform(-12, 12);
        image.rgb.push_back(static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)));
      }
    }
  }
  return image;
}

// Dropping coefficients is another low-pass filter than the triangle: single pixels differ, the
// picture does not. Bounds are twice what was measured, far below the colour jitter that follows.
TEST(DecodeAndCrop, ScaledDecodingIsCloseToCuttingFromTheFullImage) {
  const Image image = Detailed(800, 600);
  for (const bool subsampled : {false, true}) {
    JpegOptions jpeg;
    jpeg.subsampled = subsampled;
    const std::string file = EncodeJpeg(800, 600, image.rgb, jpeg);
    ASSERT_OK_AND_ASSIGN(const Image full, Decode(file));
    for (const CropBox& box : {CropBox{0, 0, 800, 600, false}, CropBox{37, 51, 610, 420, true},
                               CropBox{399, 17, 401, 583, false}}) {
      for (const int size : {32, 96, 160}) {
        Bytes scaled(static_cast<size_t>(size) * size * 3), direct(scaled.size());
        const CropSpec crop{box, size, scaled.data()};
        ASSERT_OK(DecodeAndCrop(file, {&crop, 1}));
        ASSERT_OK(ResizeCrop(full, box, size, direct.data()));
        double sum = 0, bias = 0;
        for (size_t i = 0; i < scaled.size(); ++i) {
          sum += std::abs(scaled[i] - direct[i]);
          bias += scaled[i] - direct[i];
        }
        const auto count = static_cast<double>(scaled.size());
        EXPECT_LT(sum / count, 2.5) << size << " of " << box.width << "x" << box.height;
        EXPECT_LT(std::abs(bias / count), 0.5) << size << " of " << box.width << "x" << box.height;
      }
    }
  }
}

TEST(DecodeAndCrop, WithoutReductionItIsExactlyTheCropOfTheFullImage) {
  const Image image = Detailed(200, 150);
  for (const std::string& file : {EncodeJpeg(200, 150, image.rgb), EncodePng(200, 150, image.rgb),
                                  EncodeWebp(200, 150, image.rgb, true)}) {
    ASSERT_OK_AND_ASSIGN(const Image full, Decode(file));
    // Below the crop nothing is decoded: the crop must not notice.
    for (const CropBox& box : {CropBox{3, 5, 60, 40, true}, CropBox{140, 90, 60, 60, false},
                               CropBox{0, 0, 1, 1, false}, CropBox{0, 120, 200, 1, false}}) {
      Bytes cut(64 * 64 * 3), direct(cut.size());
      const CropSpec crop{box, 64, cut.data()};
      ASSERT_OK(DecodeAndCrop(file, {&crop, 1}));
      ASSERT_OK(ResizeCrop(full, box, 64, direct.data()));
      EXPECT_EQ(cut, direct) << box.y;
    }
  }
}

TEST(DecodeAndCrop, BuffersOfAnotherImageDoNotShowThrough) {
  const Image large = Detailed(300, 200), small = Smooth(40, 30);
  DecodeScratch scratch;
  Bytes first(96 * 96 * 3), other(first.size());
  const CropSpec of_large{{10, 10, 250, 150, false}, 96, other.data()};
  const CropSpec of_small{{2, 3, 30, 20, true}, 96, first.data()};
  const std::string file = EncodeJpeg(40, 30, small.rgb);
  ASSERT_OK(DecodeAndCrop(file, {&of_small, 1}));
  const Bytes fresh = first;
  ASSERT_OK(DecodeAndCrop(EncodeJpeg(300, 200, large.rgb), {&of_large, 1}, {}, &scratch));
  ASSERT_OK(DecodeAndCrop(file, {&of_small, 1}, {}, &scratch));
  EXPECT_EQ(first, fresh);
}

TEST(DecodeAndCrop, RefusesBoxesThatAreNotInTheImage) {
  const std::string file = EncodePng(10, 8, Smooth(10, 8).rgb);
  Bytes out(16 * 16 * 3);
  const double nan = std::nan("");
  for (const CropBox& box :
       {CropBox{0, 0, 0, 4, false}, CropBox{0, 0, 4, -1, false}, CropBox{-1, 0, 4, 4, false},
        CropBox{7, 0, 4, 4, false}, CropBox{0, 5, 4, 4, false}, CropBox{nan, 0, 4, 4, false},
        CropBox{0, 0, nan, 4, false}, CropBox{0, 0, 1e300, 4, false}}) {
    const CropSpec crop{box, 16, out.data()};
    EXPECT_THAT(DecodeAndCrop(file, {&crop, 1}),
                testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "box"));
  }
  for (const CropSpec& crop :
       {CropSpec{{0, 0, 4, 4, false}, 0, out.data()}, CropSpec{{0, 0, 4, 4, false}, 16, nullptr}}) {
    EXPECT_THAT(
        DecodeAndCrop(file, {&crop, 1}),
        testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "size"));
  }
  EXPECT_OK(DecodeAndCrop(file, {}));
}

}  // namespace
}  // namespace seer::dataservice
