#include "engine/optim/weight_mean.h"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "engine/export/names.h"

namespace seer::engine {

WeightMean::WeightMean(std::vector<OptimParameter> parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay) {
  for (const OptimParameter& p : parameters_) mean_.push_back(p.tensor.detach().clone());
}

void WeightMean::Update() {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> weights;
  for (const OptimParameter& p : parameters_) weights.push_back(p.tensor.detach());
  at::_foreach_lerp_(mean_, weights, 1 - decay_);
}

std::vector<NamedTensor> WeightMean::State() const {
  std::vector<NamedTensor> state;
  for (size_t i = 0; i < parameters_.size(); ++i)
    state.push_back({kWeightMeanPrefix + parameters_[i].name, mean_[i]});
  return state;
}

}  // namespace seer::engine
