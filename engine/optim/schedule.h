// The values that change with the steps: the learning rate, always, and others where the job has a
// schedule for them. Pure.
#pragma once

#include <cstdint>

#include "engine/session/config.h"

namespace seer::engine {

// The value at `step`, counted from 0. Phases follow each other; with t the step of its phase, from
// 0, and n the phase's steps:
//
//   constant:  start
//   linear:    start + (end − start) · t / (n − 1)
//   cosine:    end + (start − end) · (1 + cos(π t / n)) / 2
//
// Linear is numpy.linspace: both ends are reached within the phase; n = 1 gives start. Cosine is
// SGDR's (Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5): end comes with the step after
// the phase. A phase of 0 steps is passed over. From the end of the last phase on: its end; for
// constant, its start. Without phases: `otherwise`.
double ValueAt(const Schedule& schedule, int64_t step, double otherwise);

// The learning rate of a step: schedules.lr or, without one, as the reference main_swav.py computes
// it, a linear phase of warmup_steps from start_lr to base_lr, then a cosine to final_lr at
// total_steps. That large batches need the warm-up, and a rate linear in the batch, is Goyal et al.
// 2017 (arXiv:1706.02677, section 2.2).
double LearningRate(const OptimConfig& config, int64_t step);

// What an optimiser's step takes from the schedules.
struct StepRates {
  double learning_rate = 0;
  double weight_decay = 0;
  double momentum = 0;
  double larc_trust = 0;
};

// The configuration's own values, none of its schedules.
StepRates FixedRates(const OptimConfig& config, double learning_rate);
StepRates RatesAt(const OptimConfig& config, int64_t step);

}  // namespace seer::engine
