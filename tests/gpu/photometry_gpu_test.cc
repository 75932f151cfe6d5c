// Photometry on a GPU beside the CPU's, which tests/parity holds against torchvision.
#include "engine/augment/photometry.h"

#include "tests/gpu/gpu.h"

namespace seer::engine {
namespace {

TEST(PhotometryOnGpu, IsTheCpus) {
  const auto gpu = testing::OpenGpu();
  ASSERT_NE(gpu, nullptr);
  PhotometryConfig config;
  config.grey_probability = config.solarize_probability = 0.4;
  for (const int64_t size : {32, 96, 224}) {
    std::vector<CropPhotometry> draws;
    for (uint64_t i = 0; i < 48; ++i) draws.push_back(DrawPhotometry(config, 5, i, 0));
    const at::Tensor pixels =
        at::randint(0, 256, {48, size, size, 3}, at::detail::createCPUGenerator(3), at::kByte);
    const at::Tensor there = ApplyPhotometry(pixels.to(gpu->where()), draws, config);
    EXPECT_TRUE(there.is_contiguous(at::MemoryFormat::ChannelsLast));
    const at::Tensor expected = ApplyPhotometry(pixels, draws, config);
    EXPECT_LE((there.cpu() - expected).abs().max().item<double>(), 5e-5) << size;
  }
}

TEST(PhotometryOnGpu, CropsThatAreNotSquareGoTheLongWay) {
  const auto gpu = testing::OpenGpu();
  ASSERT_NE(gpu, nullptr);
  const PhotometryConfig config;
  std::vector<CropPhotometry> draws;
  for (uint64_t i = 0; i < 16; ++i) draws.push_back(DrawPhotometry(config, 5, i, 0));
  const at::Tensor pixels =
      at::randint(0, 256, {16, 40, 24, 3}, at::detail::createCPUGenerator(3), at::kByte);
  const at::Tensor there = ApplyPhotometry(pixels.to(gpu->where()), draws, config);
  EXPECT_LE((there.cpu() - ApplyPhotometry(pixels, draws, config)).abs().max().item<double>(),
            5e-5);
}

}  // namespace
}  // namespace seer::engine
