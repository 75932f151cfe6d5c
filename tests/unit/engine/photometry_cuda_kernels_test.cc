// The GPU's photometry kernels run on the CPU (tests/support/cuda_on_cpu.h), beside the CPU's own.
#include "tests/support/cuda_on_cpu.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/augment/photometry.h"
#include "engine/augment/photometry_cuda.cuh"

namespace seer::engine {
namespace {

using testing::LaunchOnCpu;

PhotometryConfig Busy() {
  PhotometryConfig config;
  config.jitter_probability = 0.8;
  config.grey_probability = 0.4;
  config.blur_probability = 0.5;
  config.solarize_probability = 0.4;
  return config;
}

// The steps of photometry_cuda.cu and photometry_cuda.cc.
at::Tensor PaintOnCpu(const at::Tensor& pixels, const std::vector<CropPhotometry>& draws,
                      const PhotometryConfig& config) {
  const int64_t crops = pixels.size(0), size = pixels.size(1), count = size * size;
  const float scale = static_cast<float>(static_cast<double>(size) / 224);
  const int radius = static_cast<int>(std::ceil(6.0 * scale));
  std::vector<cuda::CropDraw> kernel_draws;
  std::vector<int64_t> blurred;
  for (size_t i = 0; i < draws.size(); ++i) {
    const CropPhotometry& d = draws[i];
    cuda::CropDraw to{};
    std::copy_n(d.strength.begin(), 4, to.strength);
    std::copy_n(d.order.begin(), 4, to.order);
    to.sigma = d.sigma * scale;
    to.jitter = d.jitter, to.grey = d.grey, to.blur = d.blur, to.solarize = d.solarize;
    kernel_draws.push_back(to);
    if (d.blur) blurred.push_back(static_cast<int64_t>(i));
  }
  cuda::ChannelScale channels{};
  std::copy_n(config.mean.begin(), 3, channels.mean);
  std::copy_n(config.std.begin(), 3, channels.std);
  const auto shares =
      static_cast<unsigned>((count + cuda::kPixelsOfABlock - 1) / cuda::kPixelsOfABlock);
  const dim3 all(shares, static_cast<unsigned>(crops)),
      some(shares, static_cast<unsigned>(blurred.size())), threads(cuda::kPhotometryBlock);
  const at::Tensor out = at::full({crops, size, size, 3}, NAN),
                   sums = at::full({crops * shares}, NAN),
                   spare = at::full({static_cast<int64_t>(blurred.size()) * count * 3}, NAN);
  const auto* const in = pixels.const_data_ptr<uint8_t>();
  LaunchOnCpu(cuda::SumGreys, all, threads, in, kernel_draws.data(), count, sums.data_ptr<float>());
  LaunchOnCpu(cuda::PaintPixels, all, threads, in, kernel_draws.data(), sums.data_ptr<float>(),
              count, channels, out.data_ptr<float>());
  if (!blurred.empty()) {
    LaunchOnCpu(cuda::BlurPixels<true>, some, threads, out.data_ptr<float>(), kernel_draws.data(),
                blurred.data(), static_cast<int>(size), radius, channels, spare.data_ptr<float>());
    LaunchOnCpu(cuda::BlurPixels<false>, some, threads, spare.data_ptr<float>(),
                kernel_draws.data(), blurred.data(), static_cast<int>(size), radius, channels,
                out.data_ptr<float>());
  }
  return out.permute({0, 3, 1, 2});
}

at::Tensor Pixels(int64_t crops, int64_t size) {
  at::Tensor pixels =
      at::randint(0, 256, {crops, size, size, 3}, at::detail::createCPUGenerator(3), at::kByte);
  pixels.narrow(1, 0, 2).fill_(255);  // colours without chroma, and at the ends of the range
  pixels.narrow(1, 2, 2).fill_(0);
  return pixels;
}

// A pixel in [0, 1] is good to 2e-6 after all operations; std is above 0.22.
constexpr double kTolerance = 1e-5;

TEST(PhotometryCudaKernels, DoWhatTheCpuDoesToEveryMixOfOperations) {
  const PhotometryConfig config = Busy();
  for (const int64_t size : {12, 80}) {  // 80: two blocks a crop, the last not full
    const int64_t crops = size == 12 ? 40 : 6;
    std::vector<CropPhotometry> draws;
    for (int64_t i = 0; i < crops; ++i)
      draws.push_back(DrawPhotometry(config, 5, static_cast<uint64_t>(i), 0));
    const at::Tensor pixels = Pixels(crops, size);
    const at::Tensor expected = ApplyPhotometry(pixels, draws, config),
                     actual = PaintOnCpu(pixels, draws, config);
    for (int64_t i = 0; i < crops; ++i) {
      const CropPhotometry& d = draws[static_cast<size_t>(i)];
      EXPECT_LE((actual[i] - expected[i]).abs().max().item<double>(), kTolerance)
          << "crop " << i << " of " << size << ": jitter " << d.jitter << " grey " << d.grey
          << " blur " << d.blur << " solarize " << d.solarize;
    }
  }
}

TEST(PhotometryCudaKernels, NormaliseAloneWhereNothingIsDrawn) {
  PhotometryConfig config;
  const std::vector<CropPhotometry> draws(3);
  const at::Tensor pixels = Pixels(3, 20);
  const at::Tensor actual = PaintOnCpu(pixels, draws, config);
  EXPECT_TRUE(actual.allclose(NormalisePixels(pixels, config), 0, 1e-6));
}

TEST(PhotometryCudaKernels, EachOrderOfJitterIsItsOwn) {
  // All 24, so that contrast is met at each place, with what comes before it.
  PhotometryConfig config;
  std::vector<CropPhotometry> draws;
  std::array<int, 4> order = {0, 1, 2, 3};
  do {
    CropPhotometry draw;
    draw.jitter = true;
    draw.order = order;
    draw.strength = {1.4f, 0.6f, 1.7f, -0.15f};
    draws.push_back(draw);
  } while (std::next_permutation(order.begin(), order.end()));
  const at::Tensor pixels = Pixels(24, 16);
  EXPECT_LE((PaintOnCpu(pixels, draws, config) - ApplyPhotometry(pixels, draws, config))
                .abs()
                .max()
                .item<double>(),
            kTolerance);
}

}  // namespace
}  // namespace seer::engine
