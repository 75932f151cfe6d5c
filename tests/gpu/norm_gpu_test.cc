// The norm kernels on a GPU beside the CPU's, which tests/unit holds against float64.
#include <cmath>

#include "engine/nn/batch_norm_kernels.h"
#include "engine/nn/sync_batch_norm.h"
#include "tests/gpu/gpu.h"

namespace seer::engine {
namespace {

using testing::ExpectNear;
using testing::Random;

struct Case {
  std::vector<int64_t> sizes;
  at::ScalarType type = at::kFloat;
  double tolerance = 1e-6;  // of the largest number: the type's rounding
};

class NormOnGpu : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    gpu_ = testing::OpenGpu();
    ASSERT_NE(gpu_, nullptr);
  }
  at::Tensor Rows(uint64_t seed) const {
    const at::Tensor x = Random(GetParam().sizes, seed, GetParam().type);
    return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
  }
  at::Tensor Vector(uint64_t seed) const { return Random({GetParam().sizes[1]}, seed); }
  at::Tensor There(const at::Tensor& host) const { return host.to(gpu_->where()); }

  std::unique_ptr<Device> gpu_;
};

TEST_P(NormOnGpu, IsTheCpus) {
  const double tolerance = GetParam().tolerance;
  const at::Tensor x = Rows(1) + 2, residual = Rows(2), dy = Rows(3), weight = Vector(4),
                   bias = Vector(5);
  const ChannelMoments own = ComputeMoments(x), moments = ComputeMoments(There(x));
  ExpectNear(moments.mean, own.mean, 1e-5, "mean");
  ExpectNear(moments.variance, own.variance, 1e-4, "variance");
  const at::Tensor rows = at::full({}, static_cast<double>(x.numel() / x.size(1)), at::kDouble);
  const at::Tensor packed = PackMoments(own, rows),
                   packed_there = PackMoments({There(own.mean), There(own.variance)}, There(rows));
  ExpectNear(packed_there, packed, 1e-12, "packed moments");
  ExpectNear(UnpackMoments(packed_there).variance, UnpackMoments(packed).variance, 1e-6,
             "unpacked variance");
  // From here on from the same statistics, so that nothing but the kernel differs.
  const NormCoefficients c = ForwardCoefficients(own, weight, bias, kNormEpsilon);
  const NormCoefficients there = ForwardCoefficients({There(own.mean), There(own.variance)},
                                                     There(weight), There(bias), kNormEpsilon);
  ExpectNear(there.scale, c.scale, 1e-6, "scale");
  ExpectNear(there.shift, c.shift, 1e-6, "shift");
  for (const bool relu : {false, true}) {
    const at::Tensor y = ScaleShift(x, c.scale, c.shift, residual, relu);
    ExpectNear(ScaleShift(There(x), There(c.scale), There(c.shift), There(residual), relu), y,
               tolerance, "y");
    const NormRelu mask = relu ? NormRelu{y, {}, {}} : NormRelu{};
    const NormRelu mask_there = relu ? NormRelu{There(y), {}, {}} : NormRelu{};
    const GradientSums sums = SumGradients(dy, mask, x, own.mean);
    const GradientSums sums_there = SumGradients(There(dy), mask_there, There(x), There(own.mean));
    ExpectNear(sums_there.sums, sums.sums, 1e-4, "sums");
    EXPECT_TRUE(sums_there.gradient.cpu().equal(sums.gradient));
    ExpectNear(ParameterGradients(There(sums.sums), There(c.invstd)).weight,
               ParameterGradients(sums.sums, c.invstd).weight, 1e-6, "dweight");
    const GradientCoefficients g = BackwardCoefficients(sums.sums, rows, weight, c.invstd);
    const GradientCoefficients g_there =
        BackwardCoefficients(There(sums.sums), There(rows), There(weight), There(c.invstd));
    ExpectNear(g_there.a, g.a, 1e-6, "a");
    ExpectNear(g_there.b, g.b, 1e-6, "b");
    ExpectNear(g_there.c, g.c, 1e-6, "c");
    const at::Tensor dx = at::empty_like(x), dx_there = at::empty_like(There(x));
    CombineGradients(sums.gradient, mask, x, own.mean, g, dx);
    CombineGradients(There(sums.gradient), mask_there, There(x), There(own.mean),
                     {There(g.a), There(g.b), There(g.c)}, dx_there);
    ExpectNear(dx_there, dx, tolerance, "dx");
  }
}

TEST_P(NormOnGpu, FindsWhereAReluPassedByWhatItCameOf) {
  const at::Tensor x = Rows(1), dy = Rows(3), mean = Vector(6);
  const NormRelu relu = {{}, Vector(4), Vector(5)};
  const NormRelu there = {{}, There(relu.scale), There(relu.shift)};
  // An element within rounding of 0 falls to the other side.
  ExpectNear(SumGradients(There(dy), there, There(x), There(mean)).sums,
             SumGradients(dy, relu, x, mean).sums, 1e-3, "sums");
  const GradientCoefficients c = {Vector(7), at::zeros_like(mean), at::zeros_like(mean)};
  const at::Tensor dx = at::empty_like(x), dx_there = at::empty_like(There(x));
  CombineGradients(dy, relu, x, mean, c, dx);
  CombineGradients(There(dy), there, There(x), There(mean), {There(c.a), There(c.b), There(c.c)},
                   dx_there);
  const at::Tensor passed = (dx_there.cpu() != 0) == (dx != 0);
  EXPECT_GE(passed.to(at::kDouble).mean().item<double>(), 0.999);
  ExpectNear(at::where(passed, dx_there.cpu(), dx), dx, GetParam().tolerance, "dx");
}

TEST_P(NormOnGpu, GivesTheSameBitsEachTime) {
  const at::Tensor x = There(Rows(1)), dy = There(Rows(3));
  const ChannelMoments first = ComputeMoments(x), second = ComputeMoments(x);
  EXPECT_TRUE(first.mean.equal(second.mean));
  EXPECT_TRUE(first.variance.equal(second.variance));
  const NormRelu relu = {x, {}, {}};
  EXPECT_TRUE(
      SumGradients(dy, relu, x, first.mean).sums.equal(SumGradients(dy, relu, x, first.mean).sums));
}

TEST_P(NormOnGpu, KeepsWhatIsNotANumber) {
  at::Tensor x = There(Rows(1));
  x.select(0, 0).fill_(std::nan(""));
  const int64_t channels = x.size(1);
  const at::Tensor ones = at::ones({channels}, x.options().dtype(at::kFloat));
  const at::Tensor y = ScaleShift(x, ones, ones, {}, /*relu=*/true);
  EXPECT_EQ(y.isnan().sum().item<int64_t>(), x.numel() / x.size(0));
}

INSTANTIATE_TEST_SUITE_P(Shapes, NormOnGpu,
                         ::testing::Values(Case{{4, 7, 5, 3}}, Case{{64, 24, 28, 28}},
                                           Case{{2, 264, 17, 17}}, Case{{16, 37}}, Case{{64, 2048}},
                                           Case{{1, 1, 40, 40}}, Case{{8, 3024, 7, 7}},
                                           Case{{32, 32, 112, 112}},
                                           Case{{64, 24, 28, 28}, at::kBFloat16, 8e-3},
                                           Case{{4, 13, 9, 9}, at::kBFloat16, 8e-3},
                                           Case{{64, 2048}, at::kBFloat16, 8e-3},
                                           Case{{64, 24, 28, 28}, at::kHalf, 1e-3},
                                           Case{{4, 13, 9, 9}, at::kHalf, 1e-3}));

}  // namespace
}  // namespace seer::engine
