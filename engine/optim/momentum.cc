#include "engine/optim/momentum.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "engine/optim/fused_momentum.h"

namespace seer::engine {
namespace {

void Scale(const Update& update) {
  std::vector<at::Tensor> scaled;
  std::vector<at::Scalar> factors;
  for (size_t i = 0; i < update.scales.size(); ++i) {
    if (update.scales[i] == 1) continue;
    scaled.push_back(update.gradients[i]);
    factors.emplace_back(update.scales[i]);
  }
  if (!scaled.empty()) at::_foreach_mul_(scaled, factors);
}

}  // namespace

MomentumOptimizer::MomentumOptimizer(std::vector<OptimParameter> parameters, bool nesterov,
                                     NormSums sums)
    : sums_(std::move(sums)), parameters_(std::move(parameters)), nesterov_(nesterov) {
  for (const OptimParameter& p : parameters_)
    momentum_.push_back(at::zeros_like(p.tensor.detach()));
}

void MomentumOptimizer::Step(const StepRates& rates, const std::vector<bool>& frozen) {
  const at::NoGradGuard no_grad;
  Update update(parameters_, rates, frozen);
  if (update.empty()) return;
  Adapt(update, rates);
  const std::vector<at::Tensor> momentum = update.Of(momentum_);
  if (FusedMomentum(update, momentum, rates.momentum, nesterov_)) return;
  AddScaled(update.gradients, update.weights, update.decays);
  Scale(update);
  at::_foreach_mul_(momentum, rates.momentum);
  at::_foreach_add_(momentum, update.gradients);
  if (nesterov_) at::_foreach_add_(update.gradients, momentum, rates.momentum);
  std::vector<double> steps;
  for (const double rate : update.learning_rates) steps.push_back(-rate);
  AddScaled(update.weights, nesterov_ ? update.gradients : momentum, steps);
}

std::vector<NamedTensor> MomentumOptimizer::State() const {
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i)
    state.push_back({"momentum/" + parameters_[i].name, momentum_[i]});
  return state;
}

}  // namespace seer::engine
