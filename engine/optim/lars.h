// LARS (You et al. 2017, arXiv:1708.03888), as the references of Barlow Twins and VISSL compute it:
// momentum gathers the scaled gradient, and the schedule's rate multiplies afterwards. Not
// thread-safe.
#pragma once

#include <vector>

#include "engine/optim/optimizer.h"

namespace seer::engine {

class Lars final : public Optimizer {
 public:
  Lars(std::vector<NamedTensor> parameters, const OptimConfig& config);

  // With g the gradient, w the parameter, λ the weight decay, η the trust coefficient:
  //
  //   u ← g + λw
  //   u ← η |w| / |u| · u, if |w| and |u| are not 0
  //   m ← momentum · m + u;  w ← w − lr · m
  //
  // Biases and norm layers with decay_norm_and_bias false: u = g, neither decayed nor scaled.
  void Step(const StepRates& rates, const std::vector<bool>& frozen = {}) override;
  std::vector<NamedTensor> State() const override;  // "momentum/<parameter>"

 private:
  const OptimConfig config_;
  const std::vector<NamedTensor> parameters_;
  std::vector<at::Tensor> momentum_;
  std::vector<bool> regularised_;
};

}  // namespace seer::engine
