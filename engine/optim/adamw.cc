#include "engine/optim/adamw.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "common/base/check.h"

namespace seer::engine {

AdamW::AdamW(std::vector<NamedTensor> parameters, const OptimConfig& config)
    : config_(config), parameters_(std::move(parameters)) {
  for (const NamedTensor& p : parameters_) {
    exp_avg_.push_back(at::zeros_like(p.tensor.detach()));
    exp_avg_sq_.push_back(at::zeros_like(p.tensor.detach()));
    step_.push_back(at::zeros({}, at::kLong));
    regularised_.push_back(config_.decay_norm_and_bias || !IsNormOrBias(p.tensor));
  }
}

void AdamW::Step(const StepRates& rates, const std::vector<bool>& frozen) {
  const at::NoGradGuard no_grad;
  const auto& [beta1, beta2, epsilon] = config_.adamw;
  std::vector<at::Tensor> weights, gradients, exp_avg, exp_avg_sq, decayed_weights;
  std::vector<at::Scalar> factors, roots;  // −lr / (1 − β1^t) and √(1 − β2^t)
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!frozen.empty() && frozen[i]) continue;
    SEER_CHECK(parameters_[i].tensor.grad().defined()) << parameters_[i].name << " has no gradient";
    weights.push_back(parameters_[i].tensor.detach());
    gradients.push_back(parameters_[i].tensor.grad());
    exp_avg.push_back(exp_avg_[i]);
    exp_avg_sq.push_back(exp_avg_sq_[i]);
    const auto t = static_cast<double>(++*step_[i].mutable_data_ptr<int64_t>());
    factors.emplace_back(-rates.learning_rate / (1 - std::pow(beta1, t)));
    roots.emplace_back(std::sqrt(1 - std::pow(beta2, t)));
    if (regularised_[i]) decayed_weights.push_back(weights.back());
  }
  if (weights.empty()) return;
  if (rates.weight_decay != 0 && !decayed_weights.empty())
    at::_foreach_mul_(decayed_weights, 1 - rates.learning_rate * rates.weight_decay);
  at::_foreach_lerp_(exp_avg, gradients, 1 - beta1);
  at::_foreach_mul_(exp_avg_sq, beta2);
  at::_foreach_addcmul_(exp_avg_sq, gradients, gradients, 1 - beta2);
  std::vector<at::Tensor>& denominators = gradients;
  at::_foreach_copy_(denominators, exp_avg_sq);
  at::_foreach_sqrt_(denominators);
  at::_foreach_div_(denominators, roots);
  at::_foreach_add_(denominators, epsilon);
  at::_foreach_addcdiv_(weights, exp_avg, denominators, factors);
}

std::vector<NamedTensor> AdamW::State() const {
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state.push_back({"exp_avg/" + parameters_[i].name, exp_avg_[i]});
    state.push_back({"exp_avg_sq/" + parameters_[i].name, exp_avg_sq_[i]});
    state.push_back({"step/" + parameters_[i].name, step_[i]});
  }
  return state;
}

}  // namespace seer::engine
