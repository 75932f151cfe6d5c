#include "engine/optim/update.h"

#include <cmath>
#include <map>
#include <utility>

#include <ATen/ATen.h>

#include "common/base/check.h"

namespace seer::engine {

Update::Update(const std::vector<OptimParameter>& parameters, const StepRates& rates,
               const std::vector<bool>& frozen) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    const OptimParameter& p = parameters[i];
    if (p.rules.lr_scale == 0 || (!frozen.empty() && frozen[i])) continue;
    SEER_CHECK(p.tensor.grad().defined()) << p.name << " has no gradient";
    if (p.rules.adapted) adapted.push_back(indices.size());
    indices.push_back(i);
    weights.push_back(p.tensor.detach());
    gradients.push_back(p.tensor.grad());
    learning_rates.push_back(rates.learning_rate * p.rules.lr_scale);
    decays.push_back(p.rules.weight_decay.value_or(rates.weight_decay));
    scales.push_back(1);
  }
}

std::vector<at::Tensor> Update::Of(const std::vector<at::Tensor>& state) const {
  std::vector<at::Tensor> chosen;
  for (const size_t i : indices) chosen.push_back(state[i]);
  return chosen;
}

std::vector<at::Tensor> Update::Adapted(const std::vector<at::Tensor>& list) const {
  std::vector<at::Tensor> chosen;
  for (const size_t place : adapted) chosen.push_back(list[place]);
  return chosen;
}

LayerNorms AdaptedNorms(const Update& update, const NormSums& sums) {
  std::vector<at::Tensor> tensors = update.Adapted(update.weights);
  for (at::Tensor& gradient : update.Adapted(update.gradients))
    tensors.push_back(std::move(gradient));
  LayerNorms norms;
  const std::vector<double> squares = HostSquares(tensors, sums);
  for (size_t i = 0; i < squares.size(); ++i)
    (i < squares.size() / 2 ? norms.weights : norms.gradients).push_back(std::sqrt(squares[i]));
  return norms;
}

void AddScaled(const std::vector<at::Tensor>& targets, const std::vector<at::Tensor>& sources,
               const std::vector<double>& factors) {
  std::map<double, std::pair<std::vector<at::Tensor>, std::vector<at::Tensor>>> by_factor;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (factors[i] == 0) continue;
    auto& [to, from] = by_factor[factors[i]];
    to.push_back(targets[i]);
    from.push_back(sources[i]);
  }
  for (const auto& [factor, lists] : by_factor)
    at::_foreach_add_(lists.first, lists.second, factor);
}

}  // namespace seer::engine
