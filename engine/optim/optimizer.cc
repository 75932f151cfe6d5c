#include "engine/optim/optimizer.h"

#include <cmath>
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

std::vector<at::Tensor> Gradients(const std::vector<OptimParameter>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const OptimParameter& p : parameters) {
    if (p.rules.lr_scale != 0) gradients.push_back(p.tensor.grad());
  }
  return gradients;
}

}  // namespace

std::unique_ptr<Optimizer> MakeOptimizer(std::vector<OptimParameter> parameters,
                                         const OptimConfig& config, NormSums sums) {
  switch (config.kind) {
    case OptimizerKind::kSgd:
      return std::make_unique<Sgd>(std::move(parameters), config, std::move(sums));
    case OptimizerKind::kLars:
      return std::make_unique<Lars>(std::move(parameters), config, std::move(sums));
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

double GradientNorm(const std::vector<OptimParameter>& parameters, const NormSums& sums) {
  std::vector<double> total = {0};
  for (const double square : HostSquares(Gradients(parameters), {})) total[0] += square;
  if (sums) sums(total);
  return std::sqrt(total[0]);
}

void ClipGradients(const std::vector<OptimParameter>& parameters, double norm, double max_norm) {
  const double scale = max_norm / (norm + kClipEpsilon);
  if (scale >= 1) return;
  const at::NoGradGuard no_grad;
  at::_foreach_mul_(Gradients(parameters), scale);
}

std::vector<double> HostSquares(const std::vector<at::Tensor>& tensors, const NormSums& sums) {
  if (tensors.empty()) return {};
  const at::NoGradGuard no_grad;
  const at::Tensor norms = at::stack(at::_foreach_norm(tensors, 2)).to(at::kDouble).cpu();
  const at::Tensor products = norms * norms;
  const auto* first = products.const_data_ptr<double>();
  std::vector<double> squares(first, first + products.numel());
  if (sums) sums(squares);
  return squares;
}

}  // namespace seer::engine
