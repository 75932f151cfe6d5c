// The exponential mean of the weights over the steps (Polyak & Juditsky 1992; with a fixed decay as
// the teacher of Tarvainen & Valpola 2017, arXiv:1703.01780, equation 2), kept beside them and
// never trained with. Not thread-safe.
#pragma once

#include <vector>

#include "engine/optim/optimizer.h"

namespace seer::engine {

class WeightMean {
 public:
  // Shares the tensors of `parameters`; the mean starts as what they hold. `decay`: α, in [0, 1).
  WeightMean(std::vector<OptimParameter> parameters, double decay);

  // mean ← α mean + (1 − α) w: once after each update of the weights.
  void Update();
  // "ema/<parameter>", float. The tensors are shared: copying into them restores.
  std::vector<NamedTensor> State() const;

 private:
  const std::vector<OptimParameter> parameters_;
  const double decay_;
  std::vector<at::Tensor> mean_;
};

}  // namespace seer::engine
