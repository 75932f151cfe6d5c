#include "engine/optim/lars.h"

#include <algorithm>
#include <utility>

namespace seer::engine {

Lars::Lars(std::vector<OptimParameter> parameters, const OptimConfig& config, NormSums sums)
    : MomentumOptimizer(std::move(parameters), /*nesterov=*/false, std::move(sums)),
      trust_(config.lars.trust) {}

void Lars::Adapt(Update& update, const StepRates&) const {
  // The rate is that of u: it has to be there first.
  AddScaled(update.gradients, update.weights, update.decays);
  std::fill(update.decays.begin(), update.decays.end(), 0);
  if (update.adapted.empty()) return;
  const auto [w, u] = AdaptedNorms(update, sums_);
  for (size_t i = 0; i < w.size(); ++i) {
    if (w[i] > 0 && u[i] > 0) update.scales[update.adapted[i]] = trust_ * w[i] / u[i];
  }
}

}  // namespace seer::engine
