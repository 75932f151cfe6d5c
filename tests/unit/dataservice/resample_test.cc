// ResizeCrop against a plain float64 sum over the filter of each output pixel.
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

constexpr Interpolation kBilinear = Interpolation::kBilinear, kBicubic = Interpolation::kBicubic;

// A triangle, or Keys' cubic with a = -1/2 as he writes it out (equation 15).
double Filter(Interpolation interpolation, double x) {
  const double s = std::abs(x);
  if (interpolation == kBilinear) return std::max(0.0, 1 - s);
  if (s < 1) return 1.5 * s * s * s - 2.5 * s * s + 1;
  return s < 2 ? -0.5 * s * s * s + 2.5 * s * s - 4 * s + 2 : 0;
}

// Weights of one output pixel over all input pixels of an axis: the filter around its centre, as
// wide as the reduction, over the whole pixels that the box touches, sum 1.
std::vector<double> Weights(Interpolation interpolation, double origin, double extent, int length,
                            int size, int i) {
  const double scale = extent / size, stretch = std::max(1.0, scale);
  const double centre = origin + (i + 0.5) * scale;
  std::vector<double> weights(static_cast<size_t>(length), 0.0);
  double sum = 0;
  for (int p = static_cast<int>(std::floor(origin));
       p < std::min<double>(length, std::ceil(origin + extent)); ++p) {
    const double weight = Filter(interpolation, (p + 0.5 - centre) / stretch);
    weights[static_cast<size_t>(p)] = weight;
    sum += weight;
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

using Plane = std::vector<std::vector<double>>;  // rows of pixels' bytes

// The columns of `in`, weighted for `size` outputs, clamped to what a level can be.
Plane FilterColumns(const Plane& in, const CropBox& box, int size, Interpolation interpolation) {
  const int width = static_cast<int>(in.front().size()) / 3;
  Plane out(in.size(), std::vector<double>(static_cast<size_t>(size) * 3));
  for (int j = 0; j < size; ++j) {
    const auto weights =
        Weights(interpolation, box.x, box.width, width, size, box.flip ? size - 1 - j : j);
    for (size_t y = 0; y < in.size(); ++y) {
      for (size_t c = 0; c < 3; ++c) {
        double& sum = out[y][static_cast<size_t>(j) * 3 + c];
        for (size_t x = 0; x < weights.size(); ++x) sum += weights[x] * in[y][x * 3 + c];
        sum = std::clamp(sum, 0.0, 255.0);
      }
    }
  }
  return out;
}
Plane FilterRows(const Plane& in, const CropBox& box, int size, Interpolation interpolation) {
  Plane out(static_cast<size_t>(size), std::vector<double>(in.front().size()));
  for (int i = 0; i < size; ++i) {
    const auto weights =
        Weights(interpolation, box.y, box.height, static_cast<int>(in.size()), size, i);
    std::vector<double>& row = out[static_cast<size_t>(i)];
    for (size_t y = 0; y < in.size(); ++y)
      for (size_t b = 0; b < row.size(); ++b) row[b] += weights[y] * in[y][b];
    for (double& value : row) value = std::clamp(value, 0.0, 255.0);
  }
  return out;
}

// The same, straight from the definition: no fixed point, no rounding between the axes. Bicubic,
// the columns come first: it matters where the first pass is clamped.
std::vector<double> Reference(const Image& image, const CropBox& box, int size,
                              Interpolation interpolation) {
  Plane plane;
  const auto stride = static_cast<long>(image.width) * 3;
  for (int y = 0; y < image.height; ++y)
    plane.emplace_back(image.rgb.begin() + y * stride, image.rgb.begin() + (y + 1) * stride);
  plane =
      interpolation == kBicubic
          ? FilterRows(FilterColumns(plane, box, size, interpolation), box, size, interpolation)
          : FilterColumns(FilterRows(plane, box, size, interpolation), box, size, interpolation);
  std::vector<double> out;
  for (const auto& row : plane) out.insert(out.end(), row.begin(), row.end());
  return out;
}

std::vector<uint8_t> Cut(const Image& image, const CropBox& box, int size,
                         Interpolation interpolation = kBilinear) {
  std::vector<uint8_t> out(static_cast<size_t>(size) * size * 3);
  EXPECT_OK(ResizeCrop(image, box, size, out.data(), nullptr, interpolation));
  std::vector<uint8_t> portable(out.size());
  EXPECT_OK(internal::ResizeCropPortable(image, box, size, portable.data(), interpolation));
  EXPECT_EQ(out, portable) << "the vector code computes other integers";
  return out;
}

void ExpectAsReference(const Image& image, const CropBox& box, int size) {
  for (const Interpolation interpolation : {kBilinear, kBicubic}) {
    const auto out = Cut(image, box, size, interpolation);
    const auto expected = Reference(image, box, size, interpolation);
    double most = 0;
    for (size_t i = 0; i < out.size(); ++i) most = std::max(most, std::abs(out[i] - expected[i]));
    // Half a level from each of the two roundings, and up to 2^-15 of 255 from each rounded weight.
    // A cubic's weights are 1.5 in all, taken without their signs: so much the second pass makes of
    // the first one's half.
    EXPECT_LE(most, (interpolation == kBicubic ? 1.25 : 1.0) + 0.1)
        << size << " of x=" << box.x << " y=" << box.y << " " << box.width << "x" << box.height
        << (interpolation == kBicubic ? " bicubic" : "");
  }
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
  for (const Interpolation interpolation : {kBilinear, kBicubic})
    EXPECT_EQ(Cut(image, {0, 0, 32, 32, false}, 32, interpolation), image.rgb);
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
      for (const Interpolation interpolation : {kBilinear, kBicubic})
        for (const uint8_t byte : Cut(image, {1.3, 2.7, 50.1, 30.9, false}, size, interpolation))
          ASSERT_EQ(byte, level) << size;
    }
  }
}

// Black beside white in both directions: a cubic overshoots on both sides of the edge.
TEST(ResizeCrop, BicubicStaysBetweenBlackAndWhite) {
  Image image{24, 24, std::vector<uint8_t>(24 * 24 * 3, 0)};
  for (size_t p = 0; p < 24 * 24; ++p)
    for (size_t c = 0; c < 3; ++c)
      image.rgb[p * 3 + c] = p % 24 / 6 % 2 != p / 24 / 6 % 2 ? 255 : 0;
  for (const int size : {7, 17, 24, 60}) {
    ExpectAsReference(image, {0, 0, 24, 24, false}, size);
    ExpectAsReference(image, {1.5, 0.25, 20, 23, true}, size);
  }
  // Wrapped round, an overshoot would be grey or of the other colour.
  const auto large = Cut(image, {0, 0, 24, 24, false}, 96, kBicubic);
  EXPECT_EQ(large[0], 0);
  EXPECT_EQ(large[(8 * 96 + 8) * 3], 0);
  EXPECT_EQ(large[(8 * 96 + 27) * 3], 255);
  EXPECT_EQ(large[(8 * 96 + 36) * 3], 255);
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
