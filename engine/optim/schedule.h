// The learning rate of a step: linear warm-up, then half a cosine, as the reference main_swav.py computes it.
#pragma once

#include <cstdint>

#include "engine/session/config.h"

namespace seer::engine {

// With W warm-up steps of T in all:
//   t < W:  start + (base − start) · t / (W − 1)   (numpy.linspace: both ends are reached; W = 1: start)
//   else:   final + (base − final) · (1 + cos(π (t − W) / (T − W))) / 2
// From step T on: final.
double LearningRate(const OptimConfig& config, int64_t step);

}  // namespace seer::engine
