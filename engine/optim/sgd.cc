#include "engine/optim/sgd.h"

#include <algorithm>
#include <utility>

namespace seer::engine {

Sgd::Sgd(std::vector<OptimParameter> parameters, const OptimConfig& config, NormSums sums)
    : MomentumOptimizer(std::move(parameters), config.nesterov, std::move(sums)),
      larc_(config.larc) {}

void Sgd::Adapt(Update& update, const StepRates& rates) const {
  if (!larc_.enabled) return;
  const auto [w, g] = AdaptedNorms(update, sums_);
  for (size_t i = 0; i < w.size(); ++i) {
    const size_t place = update.adapted[i];
    double& decay = update.decays[place];
    if (w[i] == 0 || g[i] == 0) {  // apex: neither decay nor scaling then
      decay = 0;
      continue;
    }
    double rate = rates.larc_trust * w[i] / (g[i] + w[i] * decay + larc_.epsilon);
    if (larc_.clip) rate = std::min(rate / update.learning_rates[place], 1.0);
    update.scales[place] = rate;
  }
}

}  // namespace seer::engine
