// The factor of the loss that keeps fp16 gradients from vanishing (Micikevicius et al. 2018,
// arXiv:1710.03740, section 3.2), moved as torch.amp.GradScaler moves it, but not below 1: there
// the gradients themselves do not fit. Not thread-safe.
#pragma once

#include <vector>

#include "engine/optim/optimizer.h"

namespace seer::engine {

class LossScale {
 public:
  explicit LossScale(const LossScaleConfig& config);

  double value() const;
  bool can_shrink() const { return value() > 1; }
  // g ← g / scale: once after the backward pass of a loss that was multiplied by value().
  void Unscale(const std::vector<OptimParameter>& parameters) const;
  // After each step. Halves the scale after one with a gradient that is not finite; doubles it
  // after growth_interval others in a row.
  void Update(bool finite);
  // "loss_scale/value", float, and "loss_scale/good_steps", int64. The tensors are shared: copying
  // into them restores.
  std::vector<NamedTensor> State() const { return {value_, good_steps_}; }

 private:
  const int64_t growth_interval_;
  NamedTensor value_, good_steps_;  // scalars on the host
};

}  // namespace seer::engine
