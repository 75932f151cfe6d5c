#include "engine/optim/sgd.h"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/base/check.h"

namespace seer::engine {

Sgd::Sgd(std::vector<NamedTensor> parameters, const OptimConfig& config)
    : config_(config), parameters_(std::move(parameters)) {
  for (const NamedTensor& p : parameters_) {
    momentum_.push_back(at::zeros_like(p.tensor.detach()));
    regularised_.push_back(config_.decay_norm_and_bias || !IsNormOrBias(p.tensor));
  }
}

void Sgd::Step(const StepRates& rates, const std::vector<bool>& frozen) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> weights, gradients, momentum, decayed_weights, decayed_gradients;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!frozen.empty() && frozen[i]) continue;
    SEER_CHECK(parameters_[i].tensor.grad().defined()) << parameters_[i].name << " has no gradient";
    weights.push_back(parameters_[i].tensor.detach());
    gradients.push_back(parameters_[i].tensor.grad());
    momentum.push_back(momentum_[i]);
    if (regularised_[i]) {
      decayed_weights.push_back(weights.back());
      decayed_gradients.push_back(gradients.back());
    }
  }
  if (weights.empty()) return;
  if (config_.larc.enabled) {
    ApplyLarc(decayed_weights, decayed_gradients, rates);
  } else if (rates.weight_decay != 0 && !decayed_weights.empty()) {
    at::_foreach_add_(decayed_gradients, decayed_weights, rates.weight_decay);
  }
  at::_foreach_mul_(momentum, rates.momentum);
  at::_foreach_add_(momentum, gradients);
  if (config_.nesterov) {
    at::_foreach_add_(gradients, momentum, rates.momentum);
    at::_foreach_add_(weights, gradients, -rates.learning_rate);
  } else {
    at::_foreach_add_(weights, momentum, -rates.learning_rate);
  }
}

void Sgd::ApplyLarc(std::vector<at::Tensor>& weights, std::vector<at::Tensor>& gradients,
                    const StepRates& rates) const {
  if (weights.empty()) return;
  const std::vector<double> w = HostNorms(weights), g = HostNorms(gradients);
  std::vector<at::Tensor> scaled_weights, scaled_gradients;
  std::vector<at::Scalar> layer_rates;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (w[i] == 0 || g[i] == 0) continue;  // apex: neither decay nor scaling then
    double rate =
        rates.larc_trust * w[i] / (g[i] + w[i] * rates.weight_decay + config_.larc.epsilon);
    if (config_.larc.clip) rate = std::min(rate / rates.learning_rate, 1.0);
    scaled_weights.push_back(weights[i]);
    scaled_gradients.push_back(gradients[i]);
    layer_rates.emplace_back(rate);
  }
  if (layer_rates.empty()) return;
  if (rates.weight_decay != 0)
    at::_foreach_add_(scaled_gradients, scaled_weights, rates.weight_decay);
  at::_foreach_mul_(scaled_gradients, layer_rates);
}

std::vector<NamedTensor> Sgd::State() const {
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i)
    state.push_back({"momentum/" + parameters_[i].name, momentum_[i]});
  return state;
}

}  // namespace seer::engine
