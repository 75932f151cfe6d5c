// LARS (You et al. 2017, arXiv:1708.03888), as the references of Barlow Twins and VISSL compute it:
// momentum gathers the scaled gradient, and the schedule's rate multiplies afterwards. Not
// thread-safe.
#pragma once

#include <vector>

#include "engine/optim/momentum.h"

namespace seer::engine {

class Lars final : public MomentumOptimizer {
 public:
  Lars(std::vector<OptimParameter> parameters, const OptimConfig& config, NormSums sums = {});

 private:
  // With g the gradient, w the parameter, λ its weight decay, η the trust coefficient:
  //
  //   u = g + λw
  //   u ← η |w| / |u| · u, if the parameter is adapted, and |w| and |u| are not 0
  void Adapt(Update& update, const StepRates& rates) const override;

  const double trust_;
};

}  // namespace seer::engine
