// Trunk, head and prototypes of one job, built from its configuration.
// Owns all parameters and buffers.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/nn/segment.h"
#include "engine/parallel/communicator.h"
#include "engine/session/config.h"

namespace seer::engine {

struct Network {
  Chain chain;  // trunk, then the head: [N, 3, H, W] -> [N, output_dim]
  size_t trunk_segments = 0;
  NamedTensor prototypes;       // [prototypes, output_dim] float
  double flops_per_sample = 0;  // of one training step: forward and backward of all views, see cc

  std::vector<NamedTensor> Parameters() const;  // of the chain in order, then the prototypes
  std::vector<NamedTensor> Buffers() const;     // running means and variances, in that order
};

// `norm_group` must outlive the network. INVALID_ARGUMENT: the trunk cannot be built.
absl::StatusOr<Network> BuildNetwork(const TrainConfig& config, Communicator& norm_group);

// Which segments of the network's chain are recomputed on one of `world_size` ranks.
// INVALID_ARGUMENT: an index that is not in the chain, or a budget that is too small.
absl::StatusOr<std::vector<bool>> RecomputeChoice(const TrainConfig& config, int world_size,
                                                  const Network& network);

}  // namespace seer::engine
