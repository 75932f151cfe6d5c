// Codes by Sinkhorn-Knopp over the samples of all ranks (Caron et al. 2020, arXiv:2006.09882,
// section 3.1; the steps of facebookresearch/swav's distributed_sinkhorn). Departs from it in one
// thing: the largest score over all ranks is subtracted before the exponential, which the first
// normalisation cancels, so that small epsilons do not overflow.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/parallel/communicator.h"

namespace seer::engine {

struct SinkhornOptions {
  double epsilon = 0.05;  // above 0; smaller: codes nearer to one prototype each
  int iterations = 3;     // at least 1
};

struct Codes {
  at::Tensor codes;  // [views, samples, K] float; each row sums to 1
  // [] float: max over views and prototypes of |K · marginal − 1|, over all samples of all ranks.
  at::Tensor residual;
};

// scores: [views, samples, K] float, without gradient, this rank's samples; every view is solved by
// itself. The number of samples may differ between ranks. Collectives: 1 maximum, 1 sum an
// iteration, 1 sum for the residual.
Codes Sinkhorn(const at::Tensor& scores, const SinkhornOptions& options, Communicator& world);

}  // namespace seer::engine
