// SGD with momentum in torch's form (torch.optim.SGD, dampening 0), optionally under LARC (You et
// al. 2017, arXiv:1708.03888; the formula of NVIDIA apex's LARC, which VISSL uses). Updates all
// parameters with a few fused calls. Not thread-safe.
#pragma once

#include <vector>

#include "engine/optim/optimizer.h"

namespace seer::engine {

class Sgd final : public Optimizer {
 public:
  Sgd(std::vector<NamedTensor> parameters, const OptimConfig& config);

  // With g the gradient, w the parameter, λ the weight decay:
  //
  //   without LARC:  g ← g + λw
  //   with LARC:     r = trust · |w| / (|g| + λ|w| + eps);  clip: r ← min(r / lr, 1)
  //                  g ← r (g + λw), if |w| and |g| are not 0; else g stays as it is
  //   both:          m ← momentum · m + g;  w ← w − lr · m
  //   nesterov:      w ← w − lr · (g + momentum · m)
  //
  // Biases and norm layers with decay_norm_and_bias false: g stays as it is.
  void Step(const StepRates& rates, const std::vector<bool>& frozen = {}) override;
  std::vector<NamedTensor> State() const override;  // "momentum/<parameter>"

 private:
  void ApplyLarc(std::vector<at::Tensor>& weights, std::vector<at::Tensor>& gradients,
                 const StepRates& rates) const;

  const OptimConfig config_;
  const std::vector<NamedTensor> parameters_;
  std::vector<at::Tensor> momentum_;
  std::vector<bool> regularised_;
};

}  // namespace seer::engine
