#include "engine/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace seer::engine {
namespace {

double ValueIn(const SchedulePhase& phase, int64_t step) {
  switch (phase.shape) {
    case ScheduleShape::kConstant:
      break;
    case ScheduleShape::kLinear: {
      const auto last = static_cast<double>(std::max<int64_t>(phase.steps - 1, 1));
      return phase.start + (phase.end - phase.start) * static_cast<double>(step) / last;
    }
    case ScheduleShape::kCosine: {
      const double progress = static_cast<double>(step) / static_cast<double>(phase.steps);
      return phase.end +
             0.5 * (phase.start - phase.end) * (1 + std::cos(std::numbers::pi * progress));
    }
  }
  return phase.start;
}

Schedule WarmUpAndCosine(const OptimConfig& config) {
  return {{{ScheduleShape::kLinear, config.start_lr, config.base_lr, config.warmup_steps},
           {ScheduleShape::kCosine, config.base_lr, config.final_lr,
            config.total_steps - config.warmup_steps}}};
}

}  // namespace

double ValueAt(const Schedule& schedule, int64_t step, double otherwise) {
  if (schedule.phases.empty()) return otherwise;
  for (const SchedulePhase& phase : schedule.phases) {
    if (step < phase.steps) return ValueIn(phase, step);
    step -= phase.steps;
  }
  const SchedulePhase& last = schedule.phases.back();
  return last.shape == ScheduleShape::kConstant ? last.start : last.end;
}

double LearningRate(const OptimConfig& config, int64_t step) {
  const Schedule& own = config.schedules.lr;
  return ValueAt(own.phases.empty() ? WarmUpAndCosine(config) : own, step, config.base_lr);
}

StepRates FixedRates(const OptimConfig& config, double learning_rate) {
  return {learning_rate, config.weight_decay, config.momentum, config.larc.trust};
}

StepRates RatesAt(const OptimConfig& config, int64_t step) {
  const ScheduleConfig& schedules = config.schedules;
  StepRates rates = FixedRates(config, LearningRate(config, step));
  rates.weight_decay = ValueAt(schedules.weight_decay, step, rates.weight_decay);
  rates.momentum = ValueAt(schedules.momentum, step, rates.momentum);
  rates.larc_trust = ValueAt(schedules.larc_trust, step, rates.larc_trust);
  return rates;
}

}  // namespace seer::engine
