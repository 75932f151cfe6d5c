#include "dataservice/order/crops.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "common/base/philox.h"

namespace seer::dataservice {
namespace {

constexpr int kTries = 10;
constexpr double kMinRatio = 3.0 / 4.0;
constexpr double kMaxRatio = 4.0 / 3.0;

// The largest centred box with a ratio in [kMinRatio, kMaxRatio].
CropBox CentredFallback(int64_t image_width, int64_t image_height) {
  int64_t width = image_width;
  int64_t height = image_height;
  const double ratio = static_cast<double>(image_width) / static_cast<double>(image_height);
  if (ratio < kMinRatio) {
    height = std::llrint(static_cast<double>(image_width) / kMinRatio);
  } else if (ratio > kMaxRatio) {
    width = std::llrint(static_cast<double>(image_height) * kMaxRatio);
  }
  // Rounding cannot pass the image's edge by the choice of the branch; the clamp keeps that true
  // for any input.
  width = std::clamp<int64_t>(width, 1, image_width);
  height = std::clamp<int64_t>(height, 1, image_height);
  return {static_cast<double>((image_width - width) / 2),
          static_cast<double>((image_height - height) / 2), static_cast<double>(width),
          static_cast<double>(height), false};
}

}  // namespace

CropBox RandomResizedCrop(uint64_t seed, int64_t sample_index, uint32_t view_index,
                          int64_t image_width, int64_t image_height, double min_scale,
                          double max_scale, double flip_probability) {
  SEER_CHECK(image_width >= 1 && image_height >= 1) << image_width << " x " << image_height;
  const auto sample = static_cast<uint64_t>(sample_index);
  Philox random(seed, RandomPurpose::kCropBox, sample, view_index);
  const double area = static_cast<double>(image_width) * static_cast<double>(image_height);
  CropBox box;
  bool found = false;
  for (int i = 0; i < kTries && !found; ++i) {
    const double target_area = area * random.Uniform(min_scale, max_scale);
    const double ratio = std::exp(random.Uniform(std::log(kMinRatio), std::log(kMaxRatio)));
    const int64_t width = std::llrint(std::sqrt(target_area * ratio));
    const int64_t height = std::llrint(std::sqrt(target_area / ratio));
    if (width < 1 || width > image_width || height < 1 || height > image_height) continue;
    box.y = static_cast<double>(random.Below(static_cast<uint64_t>(image_height - height + 1)));
    box.x = static_cast<double>(random.Below(static_cast<uint64_t>(image_width - width + 1)));
    box.width = static_cast<double>(width);
    box.height = static_cast<double>(height);
    found = true;
  }
  if (!found) box = CentredFallback(image_width, image_height);
  box.flip = Philox(seed, RandomPurpose::kFlip, sample, view_index).Uniform() < flip_probability;
  return box;
}

CropBox CenterCrop(int size, int64_t image_width, int64_t image_height) {
  SEER_CHECK(size >= 1 && image_width >= 1 && image_height >= 1)
      << size << ": " << image_width << " x " << image_height;
  const double resized =
      size < 64 ? size : size * 256.0 / 224.0;  // of the shorter side, in output pixels
  const double shorter = static_cast<double>(std::min(image_width, image_height));
  const double side = std::min(shorter, shorter * size / resized);  // of the box, in image pixels
  return {(static_cast<double>(image_width) - side) / 2,
          (static_cast<double>(image_height) - side) / 2, side, side, false};
}

}  // namespace seer::dataservice
