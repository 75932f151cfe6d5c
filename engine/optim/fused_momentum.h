// The update of MomentumOptimizer in one kernel of our own, where there is one: for float tensors
// on a GPU.
#pragma once

#include <vector>

#include "engine/optim/update.h"

namespace seer::engine {

// With u = scale · (g + decay · w) and lr of each parameter as `update` has them, and `momentum`
// its entries of that:
//
//   m ← factor · m + u;  w ← w − lr · m, nesterov: w ← w − lr · (u + factor · m)
//
// Gradients stay as they are. False: no kernel for these tensors, and nothing was done. A build
// without GPUs has none at all.
bool FusedMomentum(const Update& update, const std::vector<at::Tensor>& momentum, double factor,
                   bool nesterov);

}  // namespace seer::engine
