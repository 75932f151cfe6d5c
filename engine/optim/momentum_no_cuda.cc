// In place of momentum_cuda.cc in a build without GPUs.
#include "engine/optim/fused_momentum.h"

namespace seer::engine {

bool FusedMomentum(const Update&, const std::vector<at::Tensor>&, double, bool) { return false; }

}  // namespace seer::engine
