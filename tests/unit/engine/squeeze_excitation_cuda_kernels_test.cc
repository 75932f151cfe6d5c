// The GPU's squeeze-and-excitation kernels run on the CPU, beside float64.
#include "tests/support/cuda_on_cpu.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "engine/nn/squeeze_excitation_cuda.cuh"

namespace seer::engine {
namespace {

using testing::LaunchOnCpu;

at::Tensor Random(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::kFloat);
}

void ExpectNear(const at::Tensor& actual, const at::Tensor& expected, double tolerance) {
  const double scale = expected.abs().max().item<double>() + 1e-12;
  EXPECT_LE((actual.to(at::kDouble) - expected).abs().max().item<double>(), tolerance * scale);
}

// [images, pixels, channels]
template <typename T, int kWidth>
void Check(int64_t images, int64_t pixels, int64_t channels, at::ScalarType type,
           double tolerance) {
  const at::Tensor x = Random({images, pixels, channels}, 1).to(type),
                   g = Random({images, pixels, channels}, 2).to(type),
                   gate = Random({images, channels}, 3), shift = Random({images, channels}, 4);
  const auto in = [](const at::Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); };
  const auto floats = [](const at::Tensor& t) { return t.data_ptr<float>(); };
  const cuda::ImageGrid grid = cuda::ImageGridFor(images, channels, kWidth);
  // Fewer blocks than images too: each then takes several.
  for (const int image_blocks : {grid.images, 2}) {
    const dim3 blocks(grid.columns, image_blocks), threads(grid.lanes, grid.row_lanes);
    const at::Tensor wide = x.to(at::kDouble), wide_g = g.to(at::kDouble);
    const at::Tensor sums = at::full({images, channels}, NAN), out = at::full_like(x, 77);
    LaunchOnCpu(cuda::SumImagePixels<T, kWidth, false>, blocks, threads, in(x), in(x), images,
                pixels, channels, floats(sums));
    ExpectNear(sums, wide.sum(1), 1e-5);
    LaunchOnCpu(cuda::SumImagePixels<T, kWidth, true>, blocks, threads, in(x), in(g), images,
                pixels, channels, floats(sums));
    ExpectNear(sums, (wide * wide_g).sum(1), 1e-5);
    LaunchOnCpu(cuda::ScaleImagePixels<T, kWidth, false>, blocks, threads, in(x), floats(gate),
                static_cast<const float*>(nullptr), images, pixels, channels,
                static_cast<T*>(out.data_ptr()));
    ExpectNear(out, wide * gate.unsqueeze(1), tolerance);
    LaunchOnCpu(cuda::ScaleImagePixels<T, kWidth, true>, blocks, threads, in(x), floats(gate),
                static_cast<const float*>(floats(shift)), images, pixels, channels,
                static_cast<T*>(out.data_ptr()));
    ExpectNear(out, wide * gate.unsqueeze(1) + shift.unsqueeze(1), tolerance);
  }
}

TEST(SqueezeExcitationCudaKernels, SumAndScaleImages) {
  Check<float, 4>(3, 50, 24, at::kFloat, 1e-6);
  Check<float, 1>(5, 1, 7, at::kFloat, 1e-6);
  Check<cuda::Bfloat16, 8>(3, 30, 264, at::kBFloat16, 8e-3);  // two columns of blocks
  Check<cuda::Bfloat16, 1>(3, 9, 13, at::kBFloat16, 8e-3);
  Check<cuda::Float16, 8>(4, 12, 8, at::kHalf, 1e-3);
}

}  // namespace
}  // namespace seer::engine
