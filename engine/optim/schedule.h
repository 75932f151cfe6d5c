// The learning rate of a step: linear warm-up,
// then half a cosine, as the reference main_swav.py computes it.
#pragma once

#include <cstdint>

#include "engine/session/config.h"

namespace seer::engine {

// With W warm-up steps of T in all:
//
//   t < W:  start + (base − start) · t / (W − 1)
//   else:   final + (base − final) · (1 + cos(π (t − W) / (T − W))) / 2
//
// The warm-up is numpy.linspace's: both ends are reached; W = 1 gives start. That large batches
// need one, and a rate linear in the batch, is Goyal et al. 2017 (arXiv:1706.02677, section 2.2).
// From step T on: final.
double LearningRate(const OptimConfig& config, int64_t step);

}  // namespace seer::engine
