#include "engine/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace seer::engine {

double LearningRate(const OptimConfig& config, int64_t step) {
  if (step >= config.total_steps) return config.final_lr;
  if (step < config.warmup_steps) {
    const auto last = static_cast<double>(std::max<int64_t>(config.warmup_steps - 1, 1));
    return config.start_lr + (config.base_lr - config.start_lr) * static_cast<double>(step) / last;
  }
  const double progress = static_cast<double>(step - config.warmup_steps) /
                          static_cast<double>(config.total_steps - config.warmup_steps);
  return config.final_lr +
         0.5 * (config.base_lr - config.final_lr) * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace seer::engine
