// What a whole network costs: trunk, projection head and prototypes; and how one rank's step uses
// it. Arithmetic, no torch: the engine's report of its work, the memory plan, the traffic and the
// cost model all begin here.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/arch/trunk_design.h"

namespace seer::engine {

struct NetworkShape {
  TrunkConfig trunk;
  std::vector<int64_t> hidden;  // widths of the head's hidden layers
  int64_t output_dim = 128;
  bool head_batch_norm = true;
  std::vector<int64_t> prototypes;  // K of each layer
  struct Crops {
    int views = 1;
    int size = 224;  // pixels, square
  };
  std::vector<Crops> crops;  // one a resolution
};

struct NetworkCost {
  struct Resolution {
    TrunkCost trunk;  // of one crop
    int views = 1;
  };
  std::vector<Resolution> resolutions;
  SegmentCost head;                           // of one crop, prototypes aside
  std::vector<int64_t> prototype_parameters;  // of each layer
  double prototypes_per_crop = 0;             // multiply-adds of the scores

  int64_t trunk_parameters() const { return resolutions.front().trunk.parameters; }
  int64_t parameters() const;
  // Of the units whose weights are used together: the trunk's segments, the head, the prototypes.
  std::vector<int64_t> unit_parameters() const;
  double multiply_adds_per_image() const;  // of one forward pass of all views
};

// INVALID_ARGUMENT with OUT_OF_RANGE: the trunk (CountTrunk); `crops` is not empty.
absl::StatusOr<NetworkCost> CountNetwork(const NetworkShape& shape);

// How a job's ranks share a step.
struct StepShape {
  int64_t images = 1;  // of one rank
  int64_t parts = 1;   // that they go through the network in
  int ranks = 1;
  int norm_group = 1;         // ranks that share batch statistics
  int shard_group = 1;        // ranks that hold one copy of the state
  bool offload = false;       // the optimiser's state is in host memory
  int optimizer_numbers = 1;  // kept a parameter: 1 momentum, 2 AdamW's moments; 1 more for a mean
  int bytes_per_activation = 4;  // 2 in bf16 and fp16
  int64_t bucket_bytes = 25 << 20;
  int assign_views = 2;
  int sinkhorn_iterations = 3;
  bool log_sinkhorn = true;
  bool queue = false;  // features are gathered into one

  bool sharded() const { return shard_group > 1 || offload; }  // as the engine places parameters
};

}  // namespace seer::engine
