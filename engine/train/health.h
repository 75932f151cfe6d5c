// What a step shows about the run, summed over all ranks in one small all-reduce, which is also the vote on whether the
// step is sound.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/parallel/communicator.h"
#include "engine/session/train_session.h"

namespace seer::engine {

struct StepHealth {
  double loss = 0;           // mean over ranks
  bool all_finite = false;   // on every rank
  double prototypes_used_ratio = 0;
  double assignment_entropy_nats = 0;
  double top_prototype_share = 0;
  double feature_std = 0;
};

// loss: this rank's, a scalar. finite: this rank's vote. codes: [assigned, samples, K] and features: [assigned, samples,
// D], this rank's. Collective. See StepReport for what the numbers mean.
StepHealth GatherHealth(double loss, bool finite, const at::Tensor& codes, const at::Tensor& features,
                        Communicator& world);

}  // namespace seer::engine
