// SGD with momentum in torch's form (torch.optim.SGD, dampening 0), optionally under LARC (You et
// al. 2017, arXiv:1708.03888; the formula of NVIDIA apex's LARC, which VISSL uses). Updates all
// parameters with a few fused calls. Not thread-safe.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/nn/segment.h"
#include "engine/session/config.h"

namespace seer::engine {

// A parameter with one dimension or less is a bias or belongs to a norm layer: with
// decay_norm_and_bias false it gets neither weight decay nor LARC.
bool IsNormOrBias(const at::Tensor& parameter);

class Sgd {
 public:
  // Shares the tensors; their gradients must be defined at every Step.
  Sgd(std::vector<NamedTensor> parameters, const OptimConfig& config);

  // With g the gradient, w the parameter, λ the weight decay:
  //
  //   without LARC:  g ← g + λw
  //   with LARC:     r = trust · |w| / (|g| + λ|w| + eps);  clip: r ← min(r / lr, 1)
  //                  g ← r (g + λw), if |w| and |g| are not 0; else g stays as it is
  //   both:          m ← momentum · m + g;  w ← w − lr · m
  //   nesterov:      w ← w − lr · (g + momentum · m)
  //
  // Gradients are used up. `frozen[i]`: parameter i and its momentum stay as they are; empty: none.
  void Step(double learning_rate, const std::vector<bool>& frozen = {});

  // |g| over all parameters, before LARC. A float scalar.
  at::Tensor GradientNorm() const;

  // Under the parameters' names, for checkpoints.
  std::vector<NamedTensor> momentum() const;

 private:
  void ApplyLarc(std::vector<at::Tensor>& weights, std::vector<at::Tensor>& gradients,
                 double learning_rate) const;

  const OptimConfig config_;
  std::vector<NamedTensor> parameters_;
  std::vector<at::Tensor> momentum_;
  std::vector<bool> regularised_;
};

}  // namespace seer::engine
