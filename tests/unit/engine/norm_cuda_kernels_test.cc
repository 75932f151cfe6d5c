// The GPU's norm kernels run on the CPU (tests/support/cuda_on_cpu.h), beside the CPU's own and
// beside float64. What a GPU itself makes of them: tests/gpu.
#include "tests/support/cuda_on_cpu.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "engine/nn/batch_norm_cuda.cuh"
#include "engine/nn/batch_norm_kernels.h"
#include "engine/nn/sync_batch_norm.h"

namespace seer::engine {
namespace {

using testing::LaunchOnCpu;

struct Case {
  int64_t rows, channels;
  at::ScalarType type;
  bool packed;
  double tolerance;  // of the largest number: the type's rounding, or that of float sums
};

at::Tensor Random(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::kFloat).to(type);
}

void ExpectNear(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                const char* what) {
  const double scale = expected.to(at::kDouble).abs().max().item<double>() + 1e-12;
  EXPECT_LE((actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>(),
            tolerance * scale)
      << what;
}

float* F(const at::Tensor& t) { return t.data_ptr<float>(); }

class NormCudaKernels : public ::testing::TestWithParam<Case> {
 protected:
  // body.operator()<T, pack width>() of the case.
  template <typename Body>
  void ForCase(const Body& body) {
    const auto with = [&]<typename T>() {
      GetParam().packed ? body.template operator()<T, cuda::kPackWidth<T>>()
                        : body.template operator()<T, 1>();
    };
    const at::ScalarType type = GetParam().type;
    if (type == at::kFloat) return with.template operator()<float>();
    if (type == at::kHalf) return with.template operator()<cuda::Float16>();
    with.template operator()<cuda::Bfloat16>();
  }
  at::Tensor Rows(uint64_t seed) {
    return Random({GetParam().rows, GetParam().channels}, seed, GetParam().type);
  }
  at::Tensor Vector(uint64_t seed) { return Random({GetParam().channels}, seed, at::kFloat); }
  const int64_t rows_ = GetParam().rows, channels_ = GetParam().channels;
  const double tolerance_ = GetParam().tolerance;
  const dim3 over_channels_ = dim3(static_cast<unsigned>((channels_ + 31) / 32)),
             finish_ = dim3(cuda::kMostLanes, cuda::kBlock / cuda::kMostLanes);
};

TEST_P(NormCudaKernels, MomentsAreThoseOfFloat64) {
  const at::Tensor x = (Rows(1) + 3).contiguous();
  const at::Tensor mean = at::empty({channels_}), variance = at::empty({channels_});
  ForCase([&]<typename T, int kWidth>() {
    const cuda::RowGrid grid = cuda::GridFor(rows_, channels_, kWidth);
    const at::Tensor partial = at::full({grid.row_blocks, 2, channels_}, NAN);
    const auto* const in = static_cast<const T*>(x.const_data_ptr());
    LaunchOnCpu(cuda::SumDeviations<T, kWidth>, dim3(grid.columns, grid.row_blocks),
                dim3(grid.lanes, grid.row_lanes), in, rows_, channels_, F(partial));
    LaunchOnCpu(cuda::FinishMoments<T>, over_channels_, finish_, F(partial), grid.row_blocks, in,
                rows_, channels_, F(mean), F(variance));
  });
  const at::Tensor wide = x.to(at::kDouble);
  ExpectNear(mean, wide.mean(at::IntArrayRef{0}), 1e-5, "mean");
  ExpectNear(variance, wide.var(at::IntArrayRef{0}, /*unbiased=*/false), 1e-5, "variance");
}

TEST_P(NormCudaKernels, CoefficientsAreTheCpus) {
  const ChannelMoments moments = {Vector(1), Vector(2).abs()};
  const at::Tensor weight = Vector(3), bias = Vector(4),
                   sums = Random({2 * channels_}, 5, at::kDouble),
                   count = at::full({}, 37.0, at::kDouble);
  const at::Tensor scale = at::empty({channels_}), shift = at::empty({channels_}),
                   invstd = at::empty({channels_}, at::kDouble);
  const dim3 blocks(static_cast<unsigned>((channels_ + cuda::kBlock - 1) / cuda::kBlock));
  LaunchOnCpu(cuda::ForwardCoefficientRows, blocks, dim3(cuda::kBlock), F(moments.mean),
              F(moments.variance), F(weight), F(bias), kNormEpsilon, channels_, F(scale), F(shift),
              invstd.data_ptr<double>());
  const at::Tensor packed = at::empty({2 * channels_ + 1}, at::kDouble);
  LaunchOnCpu(cuda::PackMomentRows, blocks, dim3(cuda::kBlock), F(moments.mean),
              F(moments.variance), count.data_ptr<double>(), channels_, packed.data_ptr<double>());
  ExpectNear(packed, PackMoments(moments, count), 1e-12, "packed moments");
  const at::Tensor mean = at::empty({channels_}), variance = at::empty({channels_});
  LaunchOnCpu(cuda::UnpackMomentRows, blocks, dim3(cuda::kBlock), packed.data_ptr<double>(),
              channels_, F(mean), F(variance));
  ExpectNear(mean, moments.mean, 1e-6, "unpacked mean");
  ExpectNear(variance, UnpackMoments(packed).variance, 1e-6, "unpacked variance");
  const NormCoefficients forward = ForwardCoefficients(moments, weight, bias, kNormEpsilon);
  ExpectNear(scale, forward.scale, 1e-6, "scale");
  ExpectNear(shift, forward.shift, 1e-6, "shift");
  ExpectNear(invstd, forward.invstd, 1e-12, "invstd");
  const at::Tensor a = at::empty({channels_}), b = at::empty({channels_}),
                   c = at::empty({channels_});
  LaunchOnCpu(cuda::BackwardCoefficientRows, blocks, dim3(cuda::kBlock), sums.data_ptr<double>(),
              count.data_ptr<double>(), F(weight), invstd.data_ptr<double>(), channels_, F(a), F(b),
              F(c));
  const at::Tensor dweight = at::empty({channels_}), dbias = at::empty({channels_});
  LaunchOnCpu(cuda::ParameterGradientRows, blocks, dim3(cuda::kBlock), sums.data_ptr<double>(),
              invstd.data_ptr<double>(), channels_, F(dweight), F(dbias));
  const NormParameterGradients parameters = ParameterGradients(sums, invstd);
  ExpectNear(dweight, parameters.weight, 1e-6, "dweight");
  ExpectNear(dbias, parameters.bias, 1e-6, "dbias");
  const GradientCoefficients backward = BackwardCoefficients(sums, count, weight, invstd);
  ExpectNear(a, backward.a, 1e-6, "a");
  ExpectNear(b, backward.b, 1e-6, "b");
  ExpectNear(c, backward.c, 1e-6, "c");
}

TEST_P(NormCudaKernels, NormalisedRowsAreTheCpus) {
  const at::Tensor x = Rows(1), residual = Rows(2), scale = Vector(3), shift = Vector(4);
  x[rows_ - 1][channels_ - 1] = NAN;
  for (const bool add : {false, true}) {
    const at::Tensor y = at::full_like(x, 77);
    ForCase([&]<typename T, int kWidth>() {
      const cuda::RowGrid grid = cuda::GridFor(rows_, channels_, kWidth);
      LaunchOnCpu(add ? cuda::ScaleShiftRows<T, kWidth, true, true>
                      : cuda::ScaleShiftRows<T, kWidth, false, true>,
                  dim3(grid.columns, grid.row_blocks), dim3(grid.lanes, grid.row_lanes),
                  static_cast<const T*>(x.const_data_ptr()), F(scale), F(shift),
                  static_cast<const T*>(residual.const_data_ptr()), rows_, channels_,
                  static_cast<T*>(y.data_ptr()));
    });
    const at::Tensor expected =
        ScaleShift(x, scale, shift, add ? residual : at::Tensor(), /*relu=*/true);
    EXPECT_TRUE(y.isnan().equal(expected.isnan()));
    ExpectNear(y.nan_to_num(), expected.nan_to_num(), tolerance_, add ? "with residual" : "y");
  }
}

TEST_P(NormCudaKernels, GradientsAreTheCpus) {
  const at::Tensor x = Rows(1), dy = Rows(2), y = Rows(3).relu(), mean = Vector(4);
  const GradientCoefficients k = {Vector(5), Vector(6), Vector(7)};
  const at::Tensor scale = Vector(8), shift = Vector(9);
  // Without a relu, by its output, and by what that was computed of.
  for (const NormRelu& relu : {NormRelu{}, NormRelu{y, {}, {}}, NormRelu{{}, scale, shift}}) {
    const bool computed = relu.scale.defined();
    const at::Tensor g = at::full_like(x, 77), sums = at::empty({2 * channels_}, at::kDouble);
    const at::Tensor dx = at::full_like(x, 77);
    const GradientSums expected = SumGradients(dy, relu, x, mean);
    ForCase([&]<typename T, int kWidth>() {
      const cuda::RowGrid grid = cuda::GridFor(rows_, channels_, kWidth);
      const dim3 blocks(grid.columns, grid.row_blocks), threads(grid.lanes, grid.row_lanes);
      const at::Tensor partial = at::full({grid.row_blocks, 2, channels_}, NAN);
      const auto in = [](const at::Tensor& t) { return static_cast<const T*>(t.const_data_ptr()); };
      const auto sum = relu.y.defined() ? cuda::SumGradientRows<T, kWidth, cuda::Mask::kOutput>
                       : computed       ? cuda::SumGradientRows<T, kWidth, cuda::Mask::kComputed>
                                        : cuda::SumGradientRows<T, kWidth, cuda::Mask::kNone>;
      LaunchOnCpu(sum, blocks, threads, in(dy), in(y), F(scale), F(shift), in(x), F(mean), rows_,
                  channels_, static_cast<T*>(g.data_ptr()), F(partial));
      LaunchOnCpu(cuda::FinishGradientSums, over_channels_, finish_, F(partial), grid.row_blocks,
                  channels_, sums.data_ptr<double>());
      const cuda::Combination of = {F(mean), F(k.a), F(k.b), F(k.c), F(scale), F(shift)};
      LaunchOnCpu(
          computed ? cuda::CombineRows<T, kWidth, true> : cuda::CombineRows<T, kWidth, false>,
          blocks, threads, in(expected.gradient), in(x), of, rows_, channels_,
          static_cast<T*>(dx.data_ptr()));
    });
    if (relu.y.defined()) EXPECT_TRUE(g.equal(expected.gradient));
    ExpectNear(sums, expected.sums, 1e-5, "sums");
    const at::Tensor combined = at::empty_like(x);
    CombineGradients(expected.gradient, relu, x, mean, k, combined);
    ExpectNear(dx, combined, tolerance_, "dx");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, NormCudaKernels,
    ::testing::Values(Case{700, 24, at::kFloat, true, 1e-6},   // lanes that have no channel
                      Case{700, 24, at::kFloat, false, 1e-6},  // the same, one by one
                      Case{33, 7, at::kFloat, false, 1e-6}, Case{1, 300, at::kFloat, true, 1e-6},
                      Case{90, 264, at::kBFloat16, true, 8e-3},  // two columns of blocks
                      Case{90, 13, at::kBFloat16, false, 8e-3},
                      Case{500, 8, at::kHalf, true, 1e-3}));

TEST(NormCudaGrid, CoversEveryRowAndChannelWithinTheLimits) {
  for (const int64_t rows : {1LL, 31LL, 12544LL, 3211264LL, 100000000LL}) {
    for (const int64_t channels : {1LL, 24LL, 232LL, 11110LL, 100000LL}) {
      for (const int width : {1, 4, 8}) {
        const cuda::RowGrid grid = cuda::GridFor(rows, channels, width);
        EXPECT_EQ(grid.lanes * grid.row_lanes, cuda::kBlock);
        EXPECT_GE(static_cast<int64_t>(grid.columns) * grid.lanes * width, channels);
        EXPECT_GE(grid.row_blocks, 1);
        EXPECT_LE(grid.row_blocks, 65535);
        EXPECT_LE(static_cast<int64_t>(grid.row_blocks - 1) * grid.row_lanes, rows)
            << "a block without a row";
      }
    }
  }
}

}  // namespace
}  // namespace seer::engine
