// Weighted nearest neighbours on frozen features, as Wu et al. 2018
// (arXiv:1805.01978, section 3.4), DINO and VISSL do it.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/session/eval_session.h"

namespace seer::engine {

struct LabelledFeatures {
  at::Tensor features;  // [N, D] float, rows of length 1
  at::Tensor labels;    // [N] int64, 0 or more
};

// One result for each k, in order. A neighbour votes for its label with exp(cosine / temperature).
// A k larger than the training set takes all of it. Ratios are in [0, 1], over the held-out images.
// Neither set is empty, every k is at least 1, temperature is above 0 (EvalSession has checked).
std::vector<KnnResult> WeightedKnn(const LabelledFeatures& train, const LabelledFeatures& held_out,
                                   const KnnConfig& config);

}  // namespace seer::engine
