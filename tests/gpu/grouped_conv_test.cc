// The grouped convolutions of Hopper GPUs beside LibTorch's in float64 of the same bfloat16
// numbers.
#include "engine/nn/grouped_conv.h"

#include "tests/gpu/gpu.h"

namespace seer::engine {
namespace {

using testing::Random;

constexpr auto kLayout = at::MemoryFormat::ChannelsLast;

struct Case {
  int64_t images, height, width, groups, group_width, stride;
};

void PrintTo(const Case& c, std::ostream* to) {
  *to << c.images << " of " << c.height << " x " << c.width << ", " << c.groups << " groups of "
      << c.group_width << ", stride " << c.stride;
}

// ‖actual − expected‖ / ‖expected‖.
double Error(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor wide = actual.cpu().to(at::kDouble);
  return ((wide - expected).norm() / expected.norm()).item<double>();
}

class GroupedConvTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    gpu_ = testing::OpenGpu();
    ASSERT_NE(gpu_, nullptr);
    const Case& c = GetParam();
    const int64_t channels = c.groups * c.group_width;
    x_ = Random({c.images, channels, c.height, c.width}, 1, at::kBFloat16).contiguous(kLayout);
    weight_ = Random({channels, c.group_width, 3, 3}, 2, at::kBFloat16)
                  .to(at::kFloat)
                  .contiguous(kLayout);
    const int64_t height = (c.height - 1) / c.stride + 1, width = (c.width - 1) / c.stride + 1;
    dy_ = Random({c.images, channels, height, width}, 3, at::kBFloat16).contiguous(kLayout);
  }
  at::Tensor There(const at::Tensor& host) const { return host.to(gpu_->where()); }

  struct Result {
    at::Tensor y, dx, dweight;
  };
  std::optional<Result> Run() const {
    const at::Tensor x = There(x_).requires_grad_(), weight = There(weight_).requires_grad_();
    const auto y = GroupedConvOnGpu(x, weight, GetParam().stride, GetParam().groups);
    if (!y) return std::nullopt;
    y->backward(There(dy_));
    return Result{y->detach(), x.grad(), weight.grad()};
  }

  std::unique_ptr<Device> gpu_;
  at::Tensor x_, weight_, dy_;
};

TEST_P(GroupedConvTest, IsLibTorchs) {
  const std::optional<Result> result = Run();
  if (!result) GTEST_SKIP() << "not a Hopper GPU";
  const Case& c = GetParam();
  const at::Tensor x = There(x_).to(at::kDouble), weight = There(weight_).to(at::kDouble),
                   dy = There(dy_).to(at::kDouble);
  const at::Tensor y = at::conv2d(x, weight, {}, {c.stride, c.stride}, {1, 1}, {1, 1}, c.groups);
  const auto gradients =
      at::convolution_backward(dy, x, weight, {}, {c.stride, c.stride}, {1, 1}, {1, 1}, false,
                               {0, 0}, c.groups, {true, true, false});
  EXPECT_TRUE(result->y.is_contiguous(kLayout));
  EXPECT_LT(Error(result->y, y.cpu()), 3e-3) << "y";
  EXPECT_LT(Error(result->dx, std::get<0>(gradients).cpu()), 3e-3) << "dx";
  EXPECT_EQ(result->dweight.scalar_type(), at::kFloat);
  EXPECT_EQ(result->dweight.strides(), weight.strides());
  EXPECT_LT(Error(result->dweight, std::get<1>(gradients).cpu()), 1e-5) << "dweight";
}

TEST_P(GroupedConvTest, GivesTheSameBitsEachTime) {
  const std::optional<Result> first = Run(), second = Run();
  if (!first) GTEST_SKIP() << "not a Hopper GPU";
  EXPECT_TRUE(first->y.equal(second->y));
  EXPECT_TRUE(first->dx.equal(second->dx));
  EXPECT_TRUE(first->dweight.equal(second->dweight));
}

INSTANTIATE_TEST_SUITE_P(Shapes, GroupedConvTest,
                         ::testing::Values(Case{2, 10, 10, 2, 264, 1}, Case{3, 7, 9, 3, 112, 1},
                                           Case{1, 5, 5, 2, 56, 1}, Case{33, 3, 3, 2, 264, 1},
                                           Case{2, 12, 12, 4, 72, 1}, Case{2, 20, 20, 2, 232, 1},
                                           Case{2, 9, 6, 2, 328, 1}, Case{5, 1, 1, 2, 112, 1},
                                           Case{2, 10, 10, 2, 264, 2}, Case{3, 13, 11, 2, 112, 2},
                                           Case{64, 24, 24, 2, 112, 1}, Case{4, 6, 6, 3, 48, 1},
                                           Case{4, 6, 6, 3, 168, 1}, Case{3, 8, 8, 2, 120, 2}));

TEST(GroupedConv, LeavesOtherTypesAndShapesToLibTorch) {
  const auto gpu = testing::OpenGpu();
  ASSERT_NE(gpu, nullptr);
  const auto run = [&](int64_t channels, int64_t groups, at::ScalarType type) {
    const at::Tensor x = Random({2, channels, 6, 6}, 1, type).contiguous(kLayout).to(gpu->where());
    const at::Tensor weight =
        Random({channels, channels / groups, 3, 3}, 2).contiguous(kLayout).to(gpu->where());
    return GroupedConvOnGpu(x, weight, 1, groups).has_value();
  };
  EXPECT_FALSE(run(224, 2, at::kFloat));
  EXPECT_FALSE(run(224, 2, at::kHalf));
  EXPECT_FALSE(run(48, 2, at::kBFloat16));   // groups of 24
  EXPECT_FALSE(run(746, 2, at::kBFloat16));  // groups of 373
  EXPECT_FALSE(run(224, 1, at::kBFloat16));
}

}  // namespace
}  // namespace seer::engine
