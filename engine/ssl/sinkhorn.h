// Codes by Sinkhorn-Knopp over the samples of all ranks (Caron et al. 2020, arXiv:2006.09882,
// section 3.1; the steps of facebookresearch/swav's distributed_sinkhorn).
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/parallel/communicator.h"
#include "engine/session/config.h"

namespace seer::engine {

struct SinkhornOptions {
  double epsilon = 0.05;  // above 0; smaller: codes nearer to one prototype each
  int iterations = 3;     // at least 1
  SinkhornDomain domain = SinkhornDomain::kPlain;
  // Target share of prototype k (from 1) over all samples, in proportion to k^-exponent: a prior of
  // a long tail (Assran et al. 2022, arXiv:2210.07277). At least 0; 0: all alike, as in SwAV.
  double power_law_exponent = 0;
};

struct Codes {
  at::Tensor codes;  // [views, samples, K] float; each row sums to 1
  // [] float: max over views and prototypes of |marginal / target − 1|, over all samples of all
  // ranks; with equal targets |K · marginal − 1|.
  at::Tensor residual;
};

// Target shares: [K] double, sum 1, falling.
at::Tensor PrototypeShares(int64_t prototypes, double power_law_exponent);

// scores: [views, samples, K] float, without gradient, this rank's samples; every view is solved by
// itself. The number of samples may differ between ranks. Collectives: plain 1 maximum, then 1 sum
// an iteration; log 1 maximum and 1 sum an iteration; 1 sum for the residual.
Codes Sinkhorn(const at::Tensor& scores, const SinkhornOptions& options, Communicator& world);

// One-hot codes of the largest entry of each row: [views, samples, K] -> the same shape.
at::Tensor HardCodes(const at::Tensor& codes);

}  // namespace seer::engine
