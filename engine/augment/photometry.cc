#include "engine/augment/photometry.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/base/check.h"
#include "common/base/philox.h"
#include "engine/augment/color.h"
#include "engine/augment/fused_photometry.h"
#include "engine/device/device.h"

namespace seer::engine {
namespace {

constexpr double kReferenceSize = 224;  // the crop size that blur's sigma is given for
constexpr double kSolarizeThreshold = 0.5;
constexpr size_t kRounds = 4, kKinds = 4;                 // of jitter
constexpr double kLeastSigma = 0.1, kLargestSigma = 2.0;  // pixels of a crop of the reference size

at::Tensor UnitRange(const at::Tensor& pixels) {
  // [N, H, W, 3] seen as [N, 3, H, W] is channels last already.
  return pixels.permute({0, 3, 1, 2}).to(at::kFloat).div_(255);
}

at::Tensor Normalised(at::Tensor x, const PhotometryConfig& config) {
  std::vector<float> values = config.mean;
  values.insert(values.end(), config.std.begin(), config.std.end());
  const at::Tensor channels =
      CopyTo(x.device(), at::tensor(values, at::kFloat)).view({2, 1, -1, 1, 1});
  return x.sub_(channels[0]).div_(channels[1]);
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

// A selection on the device.
struct Chosen {
  at::Tensor index, strengths;  // [n] int64, [n] float; undefined: none
};

// All of them in one copy, which nothing waits for.
std::vector<Chosen> ToDevice(const std::vector<Selection>& selections, at::Device device) {
  std::vector<int64_t> crops;
  std::vector<float> strengths;
  for (const Selection& s : selections) {
    crops.insert(crops.end(), s.crops.begin(), s.crops.end());
    strengths.insert(strengths.end(), s.strengths.begin(), s.strengths.end());
  }
  const auto count = static_cast<int64_t>(crops.size());
  if (count == 0) return std::vector<Chosen>(selections.size());
  const auto bytes = [](const at::Tensor& t) { return t.view(at::kByte); };
  const at::Tensor packed = CopyTo(device, at::cat({bytes(at::tensor(crops, at::kLong)),
                                                    bytes(at::tensor(strengths, at::kFloat))}));
  const int64_t index_bytes = count * static_cast<int64_t>(sizeof(int64_t));
  const at::Tensor index = packed.narrow(0, 0, index_bytes).view(at::kLong),
                   values =
                       packed.narrow(0, index_bytes, packed.numel() - index_bytes).view(at::kFloat);
  std::vector<Chosen> chosen;
  int64_t first = 0;
  for (const Selection& s : selections) {
    const auto length = static_cast<int64_t>(s.crops.size());
    chosen.push_back(length == 0
                         ? Chosen{}
                         : Chosen{index.narrow(0, first, length), values.narrow(0, first, length)});
    first += length;
  }
  return chosen;
}

template <typename Operation>
void ApplyTo(at::Tensor& x, const Chosen& chosen, Operation&& operation) {
  if (!chosen.index.defined()) return;
  x.index_copy_(0, chosen.index, operation(x.index_select(0, chosen.index), chosen.strengths));
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
  const auto scale = static_cast<float>(static_cast<double>(pixels.size(1)) / kReferenceSize);
  const auto radius = static_cast<int64_t>(std::ceil(3 * kLargestSigma * scale));
  if (auto fused = FusedPhotometry(pixels, draws, config, {scale, radius})) return *fused;
  at::Tensor x = UnitRange(pixels);
  std::vector<Selection> selections(kRounds * kKinds + 3);
  Selection &grey = selections[kRounds * kKinds], &blur = selections[kRounds * kKinds + 1],
            &solarize = selections[kRounds * kKinds + 2];
  for (size_t i = 0; i < draws.size(); ++i) {
    for (size_t round = 0; draws[i].jitter && round < kRounds; ++round) {
      const auto kind = static_cast<size_t>(draws[i].order[round]);
      selections[round * kKinds + kind].Add(i, draws[i].strength[kind]);
    }
    if (draws[i].grey) grey.Add(i, 0);
    if (draws[i].blur) blur.Add(i, draws[i].sigma * scale);
    if (draws[i].solarize) solarize.Add(i, 0);
  }
  const std::vector<Chosen> chosen = ToDevice(selections, x.device());
  // In each round, the crops whose turn it is for an operation go through it together.
  for (size_t turn = 0; turn < kRounds * kKinds; ++turn) {
    ApplyTo(x, chosen[turn], [&](const at::Tensor& part, const at::Tensor& strengths) {
      return Jitter(static_cast<int>(turn % kKinds), part, strengths);
    });
  }
  const Chosen* const rest = &chosen[kRounds * kKinds];
  ApplyTo(x, rest[0],
          [](const at::Tensor& part, const at::Tensor&) { return Grey(part).expand_as(part); });
  ApplyTo(x, rest[1], [&](const at::Tensor& part, const at::Tensor& sigmas) {
    return GaussianBlur(part, sigmas, radius);
  });
  ApplyTo(x, rest[2], [](const at::Tensor& part, const at::Tensor&) {
    return Solarize(part, kSolarizeThreshold);
  });
  return Normalised(x, config);
}

at::Tensor NormalisePixels(const at::Tensor& pixels, const PhotometryConfig& config) {
  const at::NoGradGuard no_grad;
  return Normalised(UnitRange(pixels), config);
}

}  // namespace seer::engine
