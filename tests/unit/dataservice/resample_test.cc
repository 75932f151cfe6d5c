// ResizeCrop against a plain float64 sum over the triangle filter of each output pixel.
#include "dataservice/decode/resample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/philox.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

Image Noise(int width, int height, uint64_t seed) {
  Image image{width, height, {}};
  Philox random(seed, RandomPurpose::kTest, 0);
  for (int i = 0; i < width * height * 3; ++i)
    image.rgb.push_back(static_cast<uint8_t>(random.Next32()));
  return image;
}

// Weights of one output pixel over all input pixels of an axis: a triangle around its centre,
// one or `scale` pixels to each side, over the whole pixels that the box touches, sum 1.
std::vector<double> Weights(double origin, double extent, int length, int size, int i) {
  const double scale = extent / size, support = std::max(1.0, scale);
  const double centre = origin + (i + 0.5) * scale;
  std::vector<double> weights(static_cast<size_t>(length), 0.0);
  double sum = 0;
  for (int p = static_cast<int>(std::floor(origin));
       p < std::min<double>(length, std::ceil(origin + extent)); ++p) {
    const double weight = std::max(0.0, 1 - std::abs(p + 0.5 - centre) / support);
    weights[static_cast<size_t>(p)] = weight;
    sum += weight;
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// The same, straight from the definition: no fixed point, no rounding between the axes.
std::vector<double> Reference(const Image& image, const CropBox& box, int size) {
  std::vector<double> out;
  for (int i = 0; i < size; ++i) {
    const auto wy = Weights(box.y, box.height, image.height, size, i);
    std::vector<double> row(static_cast<size_t>(image.width) * 3);
    for (int y = 0; y < image.height; ++y)
      for (size_t b = 0; b < row.size(); ++b)
        row[b] += wy[static_cast<size_t>(y)] * image.rgb[static_cast<size_t>(y) * row.size() + b];
    for (int j = 0; j < size; ++j) {
      const auto wx = Weights(box.x, box.width, image.width, size, box.flip ? size - 1 - j : j);
      double sum[3] = {};
      for (int x = 0; x < image.width; ++x)
        for (int c = 0; c < 3; ++c)
          sum[c] += wx[static_cast<size_t>(x)] * row[static_cast<size_t>(x) * 3 + c];
      out.insert(out.end(), sum, sum + 3);
    }
  }
  return out;
}

std::vector<uint8_t> Cut(const Image& image, const CropBox& box, int size) {
  std::vector<uint8_t> out(static_cast<size_t>(size) * size * 3);
  EXPECT_OK(ResizeCrop(image, box, size, out.data()));
  std::vector<uint8_t> portable(out.size());
  EXPECT_OK(internal::ResizeCropPortable(image, box, size, portable.data()));
  EXPECT_EQ(out, portable) << "the vector code computes other integers";
  return out;
}

void ExpectAsReference(const Image& image, const CropBox& box, int size) {
  const auto out = Cut(image, box, size);
  const auto expected = Reference(image, box, size);
  double most = 0;
  for (size_t i = 0; i < out.size(); ++i) most = std::max(most, std::abs(out[i] - expected[i]));
  // Half a level from each of the two roundings, and up to 2^-15 of 255 from each rounded weight.
  EXPECT_LE(most, 1.0 + 0.1) << size << " of x=" << box.x << " y=" << box.y << " " << box.width
                             << "x" << box.height;
}

TEST(ResizeCrop, EqualsTheDefinition) {
  const Image image = Noise(97, 61, 1);
  for (const CropBox& box :
       {CropBox{0, 0, 97, 61, false}, CropBox{0, 0, 97, 61, true}, CropBox{13, 7, 40, 50, true},
        CropBox{96, 60, 1, 1, false}, CropBox{0, 60, 97, 1, false}, CropBox{96, 0, 1, 61, true},
        CropBox{10.25, 3.5, 33.3, 21.7, false}, CropBox{95.9, 59.2, 1.1, 1.8, false},
        CropBox{0, 0, 2, 3, false}, CropBox{50, 20, 0.5, 0.25, false}}) {
    for (const int size : {1, 2, 3, 5, 16, 33, 96}) ExpectAsReference(image, box, size);
  }
}

TEST(ResizeCrop, EqualsTheDefinitionAtRandom) {
  Philox random(2, RandomPurpose::kTest, 1);
  for (uint64_t i = 0; i < 150; ++i) {
    const int width = 1 + static_cast<int>(random.Below(70));
    const int height = 1 + static_cast<int>(random.Below(70));
    CropBox box;
    box.x = random.Uniform(0, width - 0.01);
    box.y = random.Uniform(0, height - 0.01);
    box.width = random.Uniform(0.01, 1) * (width - box.x);
    box.height = random.Uniform(0.01, 1) * (height - box.y);
    box.flip = random.Below(2) == 1;
    ExpectAsReference(Noise(width, height, i), box, 1 + static_cast<int>(random.Below(40)));
  }
}

TEST(ResizeCrop, LongReductionsStayInside) {
  ExpectAsReference(Noise(2000, 3, 5), {0, 0, 2000, 3, false}, 4);
  ExpectAsReference(Noise(3, 2000, 6), {0, 0, 3, 2000, true}, 4);
}

TEST(ResizeCrop, SameSizeIsACopyAndFlipIsItsMirror) {
  const Image image = Noise(32, 32, 3);
  EXPECT_EQ(Cut(image, {0, 0, 32, 32, false}, 32), image.rgb);
  const auto flipped = Cut(image, {0, 0, 32, 32, true}, 32);
  for (size_t p = 0; p < 32 * 32; ++p) {
    const size_t mirror = p / 32 * 32 + 31 - p % 32;
    for (size_t c = 0; c < 3; ++c) ASSERT_EQ(flipped[p * 3 + c], image.rgb[mirror * 3 + c]);
  }
}

TEST(ResizeCrop, AFlatImageStaysFlat) {
  for (const uint8_t level : {0, 1, 128, 254, 255}) {
    const Image image{53, 37, std::vector<uint8_t>(53 * 37 * 3, level)};
    for (const int size : {1, 7, 64}) {
      for (const uint8_t byte : Cut(image, {1.3, 2.7, 50.1, 30.9, false}, size))
        ASSERT_EQ(byte, level) << size;
    }
  }
}

TEST(ResizeCrop, TouchesNothingOutsideItsOutput) {
  const Image image = Noise(40, 30, 4);
  for (const int size : {1, 2, 5, 17}) {
    const size_t bytes = static_cast<size_t>(size) * size * 3;
    std::vector<uint8_t> out(bytes + 64, 0xA5);
    ASSERT_OK(ResizeCrop(image, {0, 0, 40, 30, true}, size, out.data()));
    EXPECT_TRUE(std::all_of(out.begin() + static_cast<long>(bytes), out.end(),
                            [](uint8_t byte) { return byte == 0xA5; }));
  }
}

TEST(ResizeCrop, RefusesWhatIsNotInTheImage) {
  const Image image = Noise(10, 10, 1);
  uint8_t out[3 * 4 * 4];
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const CropBox& box :
       {CropBox{0, 0, 0, 1, false}, CropBox{-0.1, 0, 5, 5, false}, CropBox{5.1, 0, 5, 5, false},
        CropBox{0, 6, 5, 5, false}, CropBox{0, nan, 5, 5, false}}) {
    EXPECT_THAT(ResizeCrop(image, box, 4, out),
                testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "box"));
  }
  for (const int size : {0, -1, 16385}) {
    EXPECT_THAT(
        ResizeCrop(image, {0, 0, 10, 10, false}, size, out),
        testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "size"));
  }
  // Rounding by less than 1e-6 of a pixel is forgiven.
  EXPECT_OK(ResizeCrop(image, {5, 5, 5 + 5e-7, 5 + 5e-7, false}, 4, out));
}

}  // namespace
}  // namespace seer::dataservice
