// Trunk, head and prototypes of one job, built from its configuration.
// Owns all parameters and buffers.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/nn/deferred.h"
#include "engine/nn/segment.h"
#include "engine/parallel/communicator.h"
#include "engine/session/config.h"

namespace seer::engine {

struct Network {
  Chain chain;  // trunk, then the head: [N, 3, H, W] -> [N, output_dim]
  size_t trunk_segments = 0;
  std::vector<NamedTensor> prototypes;  // a layer each: [prototypes, output_dim] float
  double flops_per_sample = 0;  // of one training step: forward and backward of all views, see cc

  // The parameters of each segment of the chain, then the prototypes.
  std::vector<std::vector<NamedTensor>> Units() const;
  std::vector<NamedTensor> Parameters() const;  // of the units in order
  std::vector<NamedTensor> Buffers() const;     // running means and variances, in that order
  // Takes its tensors to `device`; without the parameters if those have no memory yet.
  void MoveTo(at::Device device, bool parameters) const;
};

// `norm_group` must outlive the network. With `deferred` its parameters have no memory yet.
// INVALID_ARGUMENT: the trunk cannot be built.
absl::StatusOr<Network> BuildNetwork(const TrainConfig& config, Communicator& norm_group,
                                     DeferredWeights* deferred = nullptr);

// What the chain computes in; parameters are float.
at::ScalarType ActivationType(Precision precision);

// Whether GPUs may round the factors of fp32 products to TF32: a setting of the whole process.
void SetProductPrecision(Precision precision);

// Which segments of the network's chain are recomputed on one of `world_size` ranks.
// INVALID_ARGUMENT: an index that is not in the chain, or a budget that is too small.
absl::StatusOr<std::vector<bool>> RecomputeChoice(const TrainConfig& config, int world_size,
                                                  const Network& network);

}  // namespace seer::engine
