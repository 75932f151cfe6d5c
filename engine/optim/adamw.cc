#include "engine/optim/adamw.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "engine/optim/update.h"

namespace seer::engine {

AdamW::AdamW(std::vector<OptimParameter> parameters, const OptimConfig& config)
    : config_(config.adamw), parameters_(std::move(parameters)) {
  for (const OptimParameter& p : parameters_) {
    exp_avg_.push_back(at::zeros_like(p.tensor.detach()));
    exp_avg_sq_.push_back(at::zeros_like(p.tensor.detach()));
    step_.push_back(at::zeros({}, at::kLong));
  }
}

void AdamW::Step(const StepRates& rates, const std::vector<bool>& frozen) {
  const at::NoGradGuard no_grad;
  const auto& [beta1, beta2, epsilon] = config_;
  Update update(parameters_, rates, frozen);
  if (update.empty()) return;
  const std::vector<at::Tensor> exp_avg = update.Of(exp_avg_), exp_avg_sq = update.Of(exp_avg_sq_);
  std::vector<at::Tensor> decayed_weights;
  std::vector<at::Scalar> remainders, factors, roots;  // 1 − lr λ, −lr / (1 − β1^t), √(1 − β2^t)
  for (size_t place = 0; place < update.indices.size(); ++place) {
    auto* count = step_[update.indices[place]].mutable_data_ptr<int64_t>();
    const auto t = static_cast<double>(++*count);
    const double rate = update.learning_rates[place];
    factors.emplace_back(-rate / (1 - std::pow(beta1, t)));
    roots.emplace_back(std::sqrt(1 - std::pow(beta2, t)));
    if (update.decays[place] == 0) continue;
    decayed_weights.push_back(update.weights[place]);
    remainders.emplace_back(1 - rate * update.decays[place]);
  }
  if (!decayed_weights.empty()) at::_foreach_mul_(decayed_weights, remainders);
  const std::vector<at::Tensor>& gradients = update.gradients;
  at::_foreach_lerp_(exp_avg, gradients, 1 - beta1);
  at::_foreach_mul_(exp_avg_sq, beta2);
  at::_foreach_addcmul_(exp_avg_sq, gradients, gradients, 1 - beta2);
  const std::vector<at::Tensor>& denominators = gradients;
  at::_foreach_copy_(denominators, exp_avg_sq);
  at::_foreach_sqrt_(denominators);
  at::_foreach_div_(denominators, roots);
  at::_foreach_add_(denominators, epsilon);
  at::_foreach_addcdiv_(update.weights, exp_avg, denominators, factors);
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
