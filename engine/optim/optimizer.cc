#include "engine/optim/optimizer.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/base/check.h"
#include "engine/optim/adamw.h"
#include "engine/optim/lars.h"
#include "engine/optim/sgd.h"

namespace seer::engine {
namespace {

// torch's: keeps the ratio finite where all gradients are 0.
constexpr double kClipEpsilon = 1e-6;

std::vector<at::Tensor> Gradients(const std::vector<NamedTensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const NamedTensor& p : parameters) gradients.push_back(p.tensor.grad());
  return gradients;
}

}  // namespace

std::unique_ptr<Optimizer> MakeOptimizer(std::vector<NamedTensor> parameters,
                                         const OptimConfig& config) {
  switch (config.kind) {
    case OptimizerKind::kSgd:
      return std::make_unique<Sgd>(std::move(parameters), config);
    case OptimizerKind::kLars:
      return std::make_unique<Lars>(std::move(parameters), config);
    case OptimizerKind::kAdamW:
      return std::make_unique<AdamW>(std::move(parameters), config);
  }
  SEER_CHECK(false) << "no optimiser of kind " << static_cast<int>(config.kind);
  return nullptr;
}

const char* OptimizerName(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::kSgd:
      return "sgd";
    case OptimizerKind::kLars:
      return "lars";
    case OptimizerKind::kAdamW:
      return "adamw";
  }
  SEER_CHECK(false) << "no optimiser of kind " << static_cast<int>(kind);
  return "";
}

bool IsNormOrBias(const at::Tensor& parameter) { return parameter.dim() <= 1; }

at::Tensor GradientNorm(const std::vector<NamedTensor>& parameters) {
  return at::stack(at::_foreach_norm(Gradients(parameters), 2)).norm(2);
}

void ClipGradients(const std::vector<NamedTensor>& parameters, double norm, double max_norm) {
  const double scale = max_norm / (norm + kClipEpsilon);
  if (scale >= 1) return;
  const at::NoGradGuard no_grad;
  at::_foreach_mul_(Gradients(parameters), scale);
}

std::vector<double> HostNorms(const std::vector<at::Tensor>& tensors) {
  if (tensors.empty()) return {};
  const at::Tensor norms = at::stack(at::_foreach_norm(tensors, 2)).to(at::kDouble).cpu();
  const auto* first = norms.const_data_ptr<double>();
  return {first, first + norms.numel()};
}

}  // namespace seer::engine
