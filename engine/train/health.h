// What a step shows about the run, summed over all ranks in one small all-reduce, which is also the
// vote on whether the step is sound and on whether the run is to stop.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/parallel/communicator.h"
#include "engine/session/train_session.h"

namespace seer::engine {

struct RankVote {
  double loss = 0;        // this rank's mean over its samples
  bool finite = false;    // this rank's loss and gradients
  bool stop = false;      // this rank wants to stop
  TraceRequest trace;     // this rank wants all to record; of one rank at most
  int64_t announced = 0;  // what this rank tells all; of one rank at most
};

struct StepHealth {
  double loss = 0;              // mean over ranks
  bool all_finite = false;      // on every rank
  bool stop_requested = false;  // on any rank
  TraceRequest trace;           // of the rank that has one
  int64_t announced = 0;        // likewise
  double prototypes_used_ratio = 0;
  double assignment_entropy_nats = 0;
  double marginal_kl_nats = 0;
  double top_prototype_share = 0;
  double feature_std = 0;
};

// codes: [assigned, samples, K] and features: [assigned, samples, D], this rank's; `targets`: [K]
// double, the prototypes' target shares, on the same device. Collective. See StepReport for what
// the numbers mean.
StepHealth GatherHealth(const RankVote& vote, const at::Tensor& codes, const at::Tensor& features,
                        const at::Tensor& targets, Communicator& world);

}  // namespace seer::engine
