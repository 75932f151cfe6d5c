// SGD with momentum in torch's form (torch.optim.SGD, dampening 0), optionally under LARC (You et
// al. 2017, arXiv:1708.03888; the formula of NVIDIA apex's LARC, which VISSL uses). Updates all
// parameters with a few fused calls. Not thread-safe.
#pragma once

#include <vector>

#include "engine/optim/momentum.h"

namespace seer::engine {

class Sgd final : public MomentumOptimizer {
 public:
  Sgd(std::vector<OptimParameter> parameters, const OptimConfig& config, NormSums sums = {});

 private:
  // With g the gradient, w the parameter, λ its weight decay, lr its learning rate:
  //
  //   without LARC, or not adapted:  u = g + λw
  //   with LARC:     r = trust · |w| / (|g| + λ|w| + eps);  clip: r ← min(r / lr, 1)
  //                  u = r (g + λw), if |w| and |g| are not 0; else u = g
  void Adapt(Update& update, const StepRates& rates) const override;

  const LarcConfig larc_;
};

}  // namespace seer::engine
