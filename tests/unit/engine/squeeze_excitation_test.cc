// The fused squeeze-and-excitation against torch's layers in float64, forward and backward.
#include "engine/nn/squeeze_excitation.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

namespace seer::engine {
namespace {

class Block final : public LayeredSegment {
 public:
  Block(int64_t width, int64_t squeezed, const BuildContext& context)
      : LayeredSegment("block"), excite_(*this, "se", width, squeezed, context) {}
  at::Tensor Forward(const at::Tensor& x, Pass&) override { return excite_.Forward(x); }

 private:
  SqueezeExcitation excite_;
};

struct Case {
  std::vector<int64_t> sizes;
  at::ScalarType type;
  at::MemoryFormat format;
  double tolerance;  // of the largest number
};

class FusedExcitation : public ::testing::TestWithParam<Case> {};

TEST_P(FusedExcitation, IsTorchsInFloat64) {
  const auto& [sizes, type, format, tolerance] = GetParam();
  const auto random = [](at::IntArrayRef shape, uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed), at::kFloat);
  };
  const auto solo = MakeSoloCommunicator();
  const Initializer init(1);
  Block block(sizes[1], 3, {init, *solo});
  std::vector<NamedTensor> parameters = block.parameters();
  ASSERT_EQ(parameters.size(), 4);
  for (size_t i = 0; i < 4; ++i)
    parameters[i].tensor.detach().copy_(random(parameters[i].tensor.sizes(), 10 + i));
  const at::Tensor x = random(sizes, 2).to(type).contiguous(format).requires_grad_();
  const at::Tensor dy = random(sizes, 3).to(type).contiguous(format);
  Pass pass{PassMode::kEval, nullptr};
  const at::Tensor y = block.Forward(x, pass);
  EXPECT_EQ(y.scalar_type(), type);
  EXPECT_TRUE(y.is_contiguous(format));
  torch::autograd::backward({y}, {dy});

  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kDouble).requires_grad_(); };
  const at::Tensor x64 = wide(x);
  std::vector<at::Tensor> p;
  for (const NamedTensor& parameter : parameters) p.push_back(wide(parameter.tensor));
  const at::Tensor mean = x64.mean({2, 3}, /*keepdim=*/true);
  const at::Tensor gate = at::conv2d(at::conv2d(mean, p[0], p[1]).relu(), p[2], p[3]).sigmoid();
  const at::Tensor y64 = x64 * gate;
  torch::autograd::backward({y64}, {dy.to(at::kDouble)});

  const auto expect = [&](const at::Tensor& actual, const at::Tensor& expected,
                          const std::string& what) {
    ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
    const double scale = expected.abs().max().item<double>();
    EXPECT_LE((actual.to(at::kDouble) - expected).abs().max().item<double>(), tolerance * scale)
        << what;
  };
  expect(y.detach(), y64.detach(), "y");
  expect(x.grad(), x64.grad(), "dx");
  for (size_t i = 0; i < 4; ++i)
    expect(parameters[i].tensor.grad(), p[i].grad(), parameters[i].name);
}

constexpr auto kRows = at::MemoryFormat::ChannelsLast, kPlanes = at::MemoryFormat::Contiguous;
INSTANTIATE_TEST_SUITE_P(Shapes, FusedExcitation,
                         ::testing::Values(Case{{4, 8, 5, 5}, at::kFloat, kRows, 5e-6},
                                           Case{{3, 17, 1, 1}, at::kFloat, kRows, 5e-6},
                                           Case{{2, 33, 40, 41}, at::kFloat, kRows, 5e-6},
                                           Case{{4, 8, 5, 5}, at::kFloat, kPlanes, 5e-6},
                                           Case{{4, 24, 12, 12}, at::kBFloat16, kRows, 2e-2},
                                           Case{{4, 24, 12, 12}, at::kHalf, kRows, 3e-3}));

}  // namespace
}  // namespace seer::engine
