// What SGD and LARS have in common: a momentum that gathers gradients, and an update by it. Not
// thread-safe.
#pragma once

#include <vector>

#include "engine/optim/optimizer.h"
#include "engine/optim/update.h"

namespace seer::engine {

// With u = scale · (g + decay · w), both factors as Adapt leaves them, and lr the parameter's own
// rate:
//
//   m ← momentum · m + u;  w ← w − lr · m
//   nesterov:              w ← w − lr · (u + momentum · m)
class MomentumOptimizer : public Optimizer {
 public:
  void Step(const StepRates& rates, const std::vector<bool>& frozen = {}) final;
  std::vector<NamedTensor> State() const final;  // "momentum/<parameter>"

 protected:
  MomentumOptimizer(std::vector<OptimParameter> parameters, bool nesterov, NormSums sums);
  // Sets the layer-wise scales of `update`; may change its decays, and its gradients too.
  virtual void Adapt(Update& update, const StepRates& rates) const = 0;

  const NormSums sums_;

 private:
  const std::vector<OptimParameter> parameters_;
  const bool nesterov_;
  std::vector<at::Tensor> momentum_;
};

}  // namespace seer::engine
