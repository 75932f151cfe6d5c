// AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) in torch's form: torch.optim.AdamW without
// amsgrad. Not thread-safe.
#pragma once

#include <vector>

#include "engine/optim/optimizer.h"

namespace seer::engine {

class AdamW final : public Optimizer {
 public:
  AdamW(std::vector<OptimParameter> parameters, const OptimConfig& config);

  // With g the gradient, w the parameter, λ its weight decay, lr its learning rate, t its own count
  // of updates, from 1:
  //
  //   w ← (1 − lr λ) w
  //   m ← β1 m + (1 − β1) g;  v ← β2 v + (1 − β2) g²
  //   w ← w − lr / (1 − β1^t) · m / (√v / √(1 − β2^t) + eps)
  //
  // The count is of updates, not of steps: a parameter that was frozen first starts with an
  // unbiased average when it is freed. Needs no memory beyond its state: the gradient's is used for
  // the denominator.
  void Step(const StepRates& rates, const std::vector<bool>& frozen = {}) override;
  // "exp_avg/<parameter>" (m), "exp_avg_sq/<parameter>" (v), "step/<parameter>" (t, int64 scalar).
  std::vector<NamedTensor> State() const override;

 private:
  const AdamWConfig config_;
  const std::vector<OptimParameter> parameters_;
  std::vector<at::Tensor> exp_avg_, exp_avg_sq_;
  std::vector<at::Tensor> step_;  // on the host
};

}  // namespace seer::engine
