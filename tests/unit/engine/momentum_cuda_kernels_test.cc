// The GPU's momentum kernel run on the CPU (tests/support/cuda_on_cpu.h), beside the optimiser's
// own calls.
#include "tests/support/cuda_on_cpu.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/optim/momentum_cuda.cuh"
#include "engine/optim/sgd.h"

namespace seer::engine {
namespace {

at::Tensor Random(int64_t size, uint64_t seed) {
  return at::randn({size}, at::detail::createCPUGenerator(seed), at::kFloat);
}

TEST(MomentumCudaKernel, IsSgdWithDecayAndNesterovOverAllPieces) {
  const at::NoGradGuard no_grad;
  for (const bool nesterov : {false, true}) {
    OptimConfig config;
    config.nesterov = nesterov;
    config.larc.enabled = false;
    const StepRates rates = {.learning_rate = 0.3, .weight_decay = 0.05, .momentum = 0.9};
    std::vector<OptimParameter> parameters;
    std::vector<at::Tensor> weights, gradients, momentum;
    std::vector<cuda::MomentumPiece> pieces;
    for (const int64_t size : {1, 7, 1000, 2050}) {
      const auto seed = static_cast<uint64_t>(size);
      // One that does not start at 16 bytes: it goes number by number.
      at::Tensor weight =
          size == 1000 ? Random(size + 1, seed).narrow(0, 1, size) : Random(size, seed);
      weights.push_back(weight);
      gradients.push_back(Random(size, seed + 1));
      momentum.push_back(at::zeros({size}));
      OptimParameter p;
      p.name = std::to_string(size);
      p.tensor = weight.clone();
      p.tensor.mutable_grad() = gradients.back().clone();
      parameters.push_back(p);
      // Pieces of 600: several a parameter.
      for (int64_t first = 0; first < size; first += 600) {
        pieces.push_back({weight.data_ptr<float>() + first,
                          gradients.back().data_ptr<float>() + first,
                          momentum.back().data_ptr<float>() + first,
                          std::min<int64_t>(600, size - first), 1, 0.05f, 0.3f});
      }
    }
    Sgd sgd(parameters, config, {});
    for (int step = 0; step < 3; ++step) {
      for (size_t i = 0; i < parameters.size(); ++i)
        parameters[i].tensor.mutable_grad().copy_(gradients[i]);
      sgd.Step(rates);
      testing::LaunchOnCpu(cuda::UpdatePieces, dim3(static_cast<unsigned>(pieces.size())),
                           dim3(cuda::kMomentumBlock), pieces.data(), 0.9f, nesterov);
    }
    const std::vector<NamedTensor> state = sgd.State();
    for (size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_TRUE(weights[i].allclose(parameters[i].tensor, 1e-5, 1e-5)) << parameters[i].name;
      EXPECT_TRUE(momentum[i].allclose(state[i].tensor, 1e-5, 1e-5)) << parameters[i].name;
    }
  }
}

TEST(MomentumCudaKernel, ScalesTheGradientWithItsDecay) {
  const at::Tensor w = at::full({5}, 2.0f), g = at::full({5}, 3.0f), m = at::full({5}, 1.0f);
  const std::vector<cuda::MomentumPiece> pieces = {
      {w.data_ptr<float>(), g.data_ptr<float>(), m.data_ptr<float>(), 5, 0.5f, 0.1f, 0.25f}};
  testing::LaunchOnCpu(cuda::UpdatePieces, dim3(1), dim3(cuda::kMomentumBlock), pieces.data(), 0.9f,
                       false);
  const double expected = 0.9 * 1 + 0.5 * (3 + 0.1 * 2);
  EXPECT_TRUE(m.allclose(at::full({5}, expected)));
  EXPECT_TRUE(w.allclose(at::full({5}, 2 - 0.25 * expected)));
  EXPECT_TRUE(g.equal(at::full({5}, 3.0f))) << "gradients stay";
}

}  // namespace
}  // namespace seer::engine
