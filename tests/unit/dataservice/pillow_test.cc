// Beside Pillow and torchvision: files of Pillow's writers, its antialiased bilinear and bicubic
// resize, and the boxes of torchvision's RandomResizedCrop. Goldens:
// tests/parity/make_image_goldens.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/order/crops.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

std::string Golden(const std::string& name) {
  return testing::ReadFile(std::filesystem::path(std::getenv("SEER_SOURCE_DIR")) /
                           "tests/parity/golden/images" / name);
}

Image Pixels(const std::string& name) {
  auto image = Decode(Golden(name));
  EXPECT_OK(image) << name;
  return image.ok() ? *std::move(image) : Image{};
}

struct Gap {
  double mean = 255;
  int most = 255;
};
Gap Difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  if (a.size() != b.size() || a.empty()) return {};
  Gap gap{0, 0};
  for (size_t i = 0; i < a.size(); ++i) {
    const int difference = std::abs(a[i] - b[i]);
    gap.mean += difference / static_cast<double>(a.size());
    gap.most = std::max(gap.most, difference);
  }
  return gap;
}

TEST(Pillow, FilesOfItsWritersGiveThePixelsItReads) {
  std::istringstream cases(Golden("formats.txt"));
  int count = 0;
  for (std::string file, golden; cases >> file >> golden; ++count) {
    SCOPED_TRACE(file);
    const Image image = Pixels(file), expected = Pixels(golden);
    EXPECT_EQ(image.width, expected.width);
    EXPECT_EQ(image.height, expected.height);
    // Lossy coders leave the last bit of the inverse transform, and CMYK's rounding, open.
    const bool lossy = file.find("jp") != std::string::npos || file == "lossy.webp";
    const Gap gap = Difference(image.rgb, expected.rgb);
    EXPECT_LE(gap.most, lossy ? 2 : file == "cmyk.tiff" ? 1 : 0);
    EXPECT_LE(gap.mean, 0.5);
  }
  EXPECT_EQ(count, 26);
}

void ExpectResizes(const std::string& picture, const std::string& name, Interpolation interpolation,
                   int most) {
  const Image image = Pixels(picture);
  std::istringstream cases(Golden(name + ".txt"));
  CropBox box;
  int count = 0;
  for (int size = 0; cases >> box.x >> box.y >> box.width >> box.height >> size; ++count) {
    SCOPED_TRACE(absl::StrCat(name, " ", count));
    std::vector<uint8_t> out(static_cast<size_t>(size) * size * 3);
    ASSERT_OK(ResizeCrop(image, box, size, out.data(), nullptr, interpolation));
    const Gap gap = Difference(out, Pixels(absl::StrCat(name, "-", count, ".png")).rgb);
    EXPECT_LE(gap.most, most);
    EXPECT_LE(gap.mean,
              0.3);  // bilinear: Pillow filters the columns first, single roundings differ
  }
  EXPECT_EQ(count, 18);
}

TEST(Pillow, BilinearResizeWithinALevel) {
  ExpectResizes("photo.png", "resize", Interpolation::kBilinear, 1);
}

// On the mean: what the first pass rounds counts up to 1.25 times in the second.
TEST(Pillow, BicubicResizeWithinALevel) {
  ExpectResizes("photo.png", "bicubic", Interpolation::kBicubic, 2);
  ExpectResizes("blocks.png", "blocks", Interpolation::kBicubic, 2);
}

// The two-sample Kolmogorov-Smirnov statistic at torchvision's quantiles. 1.95 is its limit for a
// probability of 0.001 that equal distributions differ so much; seeds are fixed.
TEST(Torchvision, RandomResizedCropHasItsDistribution) {
  constexpr int kDraws = 60'000;
  std::istringstream lines(Golden("random_resized_crop.txt"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    std::istringstream words(line);
    int width = 0, height = 0, golden_draws = 0;
    double low = 0, high = 0;
    words >> width >> height >> low >> high >> golden_draws;
    std::vector<std::vector<double>> drawn(4);
    for (int i = 0; i < kDraws; ++i) {
      const CropBox box = RandomResizedCrop(41, i, 0, width, height, low, high, 0.5);
      drawn[0].push_back(box.width * box.height / (width * height));
      drawn[1].push_back(std::log(box.width / box.height));
      drawn[2].push_back(box.x);
      drawn[3].push_back(box.y);
    }
    const double limit = 1.95 * std::sqrt(1.0 / kDraws + 1.0 / golden_draws);
    for (const char* name : {"area", "ratio", "left", "top"}) {
      std::vector<double>& numbers = drawn.front();
      std::sort(numbers.begin(), numbers.end());
      for (int quantile = 0; quantile < 24; ++quantile) {
        double value = 0, share = 0;
        ASSERT_TRUE(words >> value >> share) << line.substr(0, 40);
        const auto above = std::upper_bound(numbers.begin(), numbers.end(), value + 1e-9);
        EXPECT_NEAR(static_cast<double>(above - numbers.begin()) / kDraws, share, limit)
            << name << " up to " << value << ", case " << count;
      }
      drawn.erase(drawn.begin());
    }
  }
  EXPECT_EQ(count, 4);
}

}  // namespace
}  // namespace seer::dataservice
