// The parameters that one step updates, as the lists that multi-tensor calls take: what every kind
// of optimiser starts from. Not thread-safe.
#pragma once

#include <vector>

#include "engine/optim/optimizer.h"

namespace seer::engine {

struct Update {
  // Of all parameters but those that are frozen or have lr_scale 0. Their gradients must be there.
  Update(const std::vector<OptimParameter>& parameters, const StepRates& rates,
         const std::vector<bool>& frozen);

  std::vector<size_t> indices;                 // of the parameters; the lists below go with it
  std::vector<at::Tensor> weights, gradients;  // detached, shared
  std::vector<double> learning_rates, decays;  // of each by its own rules
  std::vector<double> scales;                  // of each, layer-wise; 1 but where they are adapted
  std::vector<size_t> adapted;                 // places in these lists, not indices

  bool empty() const { return indices.empty(); }
  // The entries of `state`, which has one a parameter, that this updates.
  std::vector<at::Tensor> Of(const std::vector<at::Tensor>& state) const;
  // Those whose places are in `adapted`.
  std::vector<at::Tensor> Adapted(const std::vector<at::Tensor>& list) const;
};

// |w| and |g| of the adapted parameters, in their order, over all pieces.
struct LayerNorms {
  std::vector<double> weights, gradients;
};
LayerNorms AdaptedNorms(const Update& update, const NormSums& sums);

// targets[i] ← targets[i] + factors[i] · sources[i]: one multi-tensor call for each value that
// occurs, none for 0.
void AddScaled(const std::vector<at::Tensor>& targets, const std::vector<at::Tensor>& sources,
               const std::vector<double>& factors);

}  // namespace seer::engine
