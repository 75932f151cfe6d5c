// The fused batch norm against torch's in float64, forward and backward.
#include "engine/nn/batch_norm_kernels.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "engine/nn/sync_batch_norm.h"

namespace seer::engine {
namespace {

struct Case {
  std::vector<int64_t> sizes;
  at::ScalarType type = at::kFloat;
  double tolerance = 2e-5;  // of the largest number; float sums of up to some thousand terms
  double mean = 0.5;
};

class FusedNorm : public ::testing::TestWithParam<Case> {};

at::Tensor Random(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type) {
  const at::Tensor x = at::randn(sizes, at::detail::createCPUGenerator(seed), at::kFloat).to(type);
  return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x;
}

void ExpectNear(const at::Tensor& actual, const at::Tensor& expected, double tolerance,
                const char* what) {
  const double scale = expected.abs().max().item<double>() + 1e-12;
  EXPECT_LE((actual.to(at::kDouble) - expected).abs().max().item<double>(), tolerance * scale)
      << what;
}

TEST_P(FusedNorm, IsTorchsInFloat64) {
  const auto& [sizes, type, tolerance, mean] = GetParam();
  const auto solo = MakeSoloCommunicator();
  const SyncBatchNorm norm("n", sizes[1], Initializer(1), *solo);
  std::vector<NamedTensor> parameters, buffers;
  norm.AppendTo(parameters, buffers);
  const at::Tensor weight = parameters[0].tensor, bias = parameters[1].tensor;
  weight.detach().copy_(Random({sizes[1]}, 2, at::kFloat) + 1);
  bias.detach().copy_(Random({sizes[1]}, 3, at::kFloat));
  for (const bool add : {false, true}) {
    const at::Tensor x = (Random(sizes, 4, type) + mean).detach().requires_grad_();
    const at::Tensor residual = Random(sizes, 5, type).requires_grad_();
    const at::Tensor dy = Random(sizes, 6, type);
    NormMemory memory;
    Pass pass{PassMode::kTrain, &memory};
    const at::Tensor y = add ? norm.ForwardAddRelu(x, residual, pass) : norm.ForwardRelu(x, pass);
    EXPECT_EQ(y.scalar_type(), type);
    weight.mutable_grad() = bias.mutable_grad() = at::Tensor();
    torch::autograd::backward({y}, {dy});

    const auto wide = [](const at::Tensor& t) {
      return t.detach().to(at::kDouble).requires_grad_();
    };
    const at::Tensor x64 = wide(x), residual64 = wide(residual), w64 = wide(weight),
                     b64 = wide(bias);
    at::Tensor y64 = std::get<0>(at::native_batch_norm(x64, w64, b64, {}, {}, /*training=*/true,
                                                       /*momentum=*/0, kNormEpsilon));
    if (add) y64 = y64 + residual64;
    y64 = y64.relu();
    // The mask of the output that was rounded: an element within rounding of 0 may fall either way.
    const at::Tensor dy64 = dy.to(at::kDouble) * (y.detach() > 0);
    const at::Tensor same = (y64 > 0) == (y.detach() > 0);
    EXPECT_GE(same.to(at::kDouble).mean().item<double>(), 0.99);
    torch::autograd::backward({y64}, {at::where(same, dy64, 0.0)});
    ExpectNear(y.detach(), y64.detach(), tolerance, "y");
    if (!same.all().item<bool>()) continue;
    ExpectNear(x.grad(), x64.grad(), tolerance, "dx");
    ExpectNear(weight.grad(), w64.grad(), tolerance, "dweight");
    ExpectNear(bias.grad(), b64.grad(), tolerance, "dbias");
    if (add) ExpectNear(residual.grad(), residual64.grad(), tolerance, "the residual's gradient");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, FusedNorm,
    ::testing::Values(Case{{4, 7, 5, 3}}, Case{{2, 48, 17, 17}}, Case{{3, 104, 1, 1}},
                      Case{{16, 37}}, Case{{2, 2048}, at::kFloat, 1e-3}, Case{{1, 1, 40, 40}},
                      Case{{4, 33, 9, 9}, at::kFloat, 1e-3, 100},  // far from zero
                      Case{{4, 7, 5, 3}, at::kBFloat16, 1e-2},
                      Case{{2, 40, 12, 12}, at::kBFloat16, 1e-2},
                      Case{{4, 7, 5, 3}, at::kHalf, 2e-3}, Case{{2, 40, 12, 12}, at::kHalf, 2e-3}));

TEST(FusedNormKernels, DoNotDependOnTheThreads) {
  const at::Tensor x = Random({8, 24, 31, 31}, 1, at::kFloat),
                   dy = Random(x.sizes(), 2, at::kFloat);
  const int before = at::get_num_threads();
  std::vector<ChannelMoments> moments;
  std::vector<at::Tensor> sums;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    moments.push_back(ComputeMoments(x));
    sums.push_back(SumGradients(dy, {x, {}, {}}, x, moments.back().mean).sums);
  }
  at::set_num_threads(before);
  for (size_t i = 1; i < sums.size(); ++i) {
    EXPECT_TRUE(moments[i].mean.equal(moments[0].mean));
    EXPECT_TRUE(moments[i].variance.equal(moments[0].variance));
    EXPECT_TRUE(sums[i].equal(sums[0]));
  }
}

TEST(FusedNormKernels, KeepWhatIsNotANumber) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    at::Tensor x = Random({2, 5, 3, 3}, 1, type);
    x[1][2][0][0] = std::nan("");
    const at::Tensor y = ScaleShift(x, at::ones({5}), at::zeros({5}), {}, /*relu=*/true);
    EXPECT_EQ(y.isnan().sum().item<int64_t>(), 1) << type;
  }
}

TEST(FusedNormKernels, HalfsThatAreTooLargeAreInfiniteAndTinyOnesStay) {
  const at::Tensor x = at::full({1, 3}, 60000.0f).to(at::kHalf);
  const at::Tensor y =
      ScaleShift(x, at::tensor({2.0f, -2.0f, 1e-11f}), at::zeros({3}), {}, /*relu=*/false);
  EXPECT_EQ(y[0][0].item<float>(), std::numeric_limits<float>::infinity());
  EXPECT_EQ(y[0][1].item<float>(), -std::numeric_limits<float>::infinity());
  EXPECT_NEAR(y[0][2].item<float>(), 6e-7, 3e-8);  // no normal number: 5 bits are left
}

}  // namespace
}  // namespace seer::engine
