#include "engine/optim/lars.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/base/check.h"

namespace seer::engine {

Lars::Lars(std::vector<NamedTensor> parameters, const OptimConfig& config)
    : config_(config), parameters_(std::move(parameters)) {
  for (const NamedTensor& p : parameters_) {
    momentum_.push_back(at::zeros_like(p.tensor.detach()));
    regularised_.push_back(config_.decay_norm_and_bias || !IsNormOrBias(p.tensor));
  }
}

void Lars::Step(const StepRates& rates, const std::vector<bool>& frozen) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> weights, updates, momentum, scaled_weights, scaled_updates;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!frozen.empty() && frozen[i]) continue;
    SEER_CHECK(parameters_[i].tensor.grad().defined()) << parameters_[i].name << " has no gradient";
    weights.push_back(parameters_[i].tensor.detach());
    updates.push_back(parameters_[i].tensor.grad());
    momentum.push_back(momentum_[i]);
    if (regularised_[i]) {
      scaled_weights.push_back(weights.back());
      scaled_updates.push_back(updates.back());
    }
  }
  if (weights.empty()) return;
  if (!scaled_weights.empty()) {
    if (rates.weight_decay != 0)
      at::_foreach_add_(scaled_updates, scaled_weights, rates.weight_decay);
    const std::vector<double> w = HostNorms(scaled_weights), u = HostNorms(scaled_updates);
    std::vector<at::Scalar> layer_rates;
    for (size_t i = 0; i < w.size(); ++i) {
      layer_rates.emplace_back(w[i] > 0 && u[i] > 0 ? config_.lars.trust * w[i] / u[i] : 1.0);
    }
    at::_foreach_mul_(scaled_updates, layer_rates);
  }
  at::_foreach_mul_(momentum, rates.momentum);
  at::_foreach_add_(momentum, updates);
  at::_foreach_add_(weights, momentum, -rates.learning_rate);
}

std::vector<NamedTensor> Lars::State() const {
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i)
    state.push_back({"momentum/" + parameters_[i].name, momentum_[i]});
  return state;
}

}  // namespace seer::engine
