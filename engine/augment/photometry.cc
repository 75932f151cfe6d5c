#include "engine/augment/photometry.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/base/check.h"
#include "common/base/philox.h"
#include "engine/augment/color.h"

namespace seer::engine {
namespace {

constexpr double kReferenceSize = 224;  // the crop size that blur's sigma is given for
constexpr double kSolarizeThreshold = 0.5;
constexpr double kLeastSigma = 0.1, kLargestSigma = 2.0;  // pixels of a crop of the reference size

at::Tensor UnitRange(const at::Tensor& pixels) {
  // [N, H, W, 3] seen as [N, 3, H, W] is channels last already.
  return pixels.permute({0, 3, 1, 2}).to(at::kFloat).div_(255);
}

at::Tensor Normalised(at::Tensor x, const PhotometryConfig& config) {
  const auto channel = [&](const std::vector<float>& values) {
    return at::tensor(values, x.options()).view({1, -1, 1, 1});
  };
  return x.sub_(channel(config.mean)).div_(channel(config.std));
}

// The crops of a batch that one operation touches, with their strengths.
struct Selection {
  std::vector<int64_t> crops;
  std::vector<float> strengths;
  void Add(size_t crop, float strength) {
    crops.push_back(static_cast<int64_t>(crop));
    strengths.push_back(strength);
  }
};

template <typename Operation>
void ApplyTo(at::Tensor& x, const Selection& selection, Operation&& operation) {
  if (selection.crops.empty()) return;
  const at::Tensor index = at::tensor(selection.crops, x.options().dtype(at::kLong));
  const at::Tensor strengths = at::tensor(selection.strengths, x.options());
  x.index_copy_(0, index, operation(x.index_select(0, index), strengths));
}

at::Tensor Jitter(int kind, const at::Tensor& x, const at::Tensor& strengths) {
  switch (kind) {
    case 0:
      return AdjustBrightness(x, strengths);
    case 1:
      return AdjustContrast(x, strengths);
    case 2:
      return AdjustSaturation(x, strengths);
    default:
      return AdjustHue(x, strengths);
  }
}

}  // namespace

CropPhotometry DrawPhotometry(const PhotometryConfig& config, uint64_t seed, uint64_t sample,
                              uint32_t crop) {
  Philox random(seed, RandomPurpose::kPhotometry, sample, crop);
  CropPhotometry draw;
  draw.jitter = random.Uniform() < config.jitter_probability;
  draw.order = {0, 1, 2, 3};
  for (size_t i = 3; i > 0; --i) std::swap(draw.order[i], draw.order[random.Below(i + 1)]);
  const double s = config.jitter_strength;
  for (size_t i = 0; i < 3; ++i) {
    draw.strength[i] = static_cast<float>(random.Uniform(std::max(0.0, 1 - 0.8 * s), 1 + 0.8 * s));
  }
  const double hue = std::min(0.5, 0.2 * s);
  draw.strength[3] = static_cast<float>(random.Uniform(-hue, hue));
  draw.grey = random.Uniform() < config.grey_probability;
  draw.blur = random.Uniform() < config.blur_probability;
  draw.sigma = static_cast<float>(random.Uniform(kLeastSigma, kLargestSigma));
  draw.solarize = random.Uniform() < config.solarize_probability;
  return draw;
}

at::Tensor ApplyPhotometry(const at::Tensor& pixels, const std::vector<CropPhotometry>& draws,
                           const PhotometryConfig& config) {
  SEER_CHECK(pixels.size(0) == static_cast<int64_t>(draws.size())) << draws.size() << " draws";
  const at::NoGradGuard no_grad;
  at::Tensor x = UnitRange(pixels);
  // Four rounds; in each, the crops whose turn it is for an operation go through it together.
  for (size_t round = 0; round < 4; ++round) {
    std::array<Selection, 4> turns;
    for (size_t i = 0; i < draws.size(); ++i) {
      if (!draws[i].jitter) continue;
      const auto kind = static_cast<size_t>(draws[i].order[round]);
      turns[kind].Add(i, draws[i].strength[kind]);
    }
    for (int kind = 0; kind < 4; ++kind) {
      ApplyTo(x, turns[static_cast<size_t>(kind)],
              [&](const at::Tensor& part, const at::Tensor& strengths) {
                return Jitter(kind, part, strengths);
              });
    }
  }
  Selection grey, blur, solarize;
  const auto scale = static_cast<float>(static_cast<double>(pixels.size(1)) / kReferenceSize);
  for (size_t i = 0; i < draws.size(); ++i) {
    if (draws[i].grey) grey.Add(i, 0);
    if (draws[i].blur) blur.Add(i, draws[i].sigma * scale);
    if (draws[i].solarize) solarize.Add(i, 0);
  }
  ApplyTo(x, grey,
          [](const at::Tensor& part, const at::Tensor&) { return Grey(part).expand_as(part); });
  const auto radius = static_cast<int64_t>(std::ceil(3 * kLargestSigma * scale));
  ApplyTo(x, blur, [&](const at::Tensor& part, const at::Tensor& sigmas) {
    return GaussianBlur(part, sigmas, radius);
  });
  ApplyTo(x, solarize, [](const at::Tensor& part, const at::Tensor&) {
    return Solarize(part, kSolarizeThreshold);
  });
  return Normalised(x, config);
}

at::Tensor NormalisePixels(const at::Tensor& pixels, const PhotometryConfig& config) {
  const at::NoGradGuard no_grad;
  return Normalised(UnitRange(pixels), config);
}

}  // namespace seer::engine
