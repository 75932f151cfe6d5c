// What a rank's step sends through collectives, by kind: how many, and the bytes of their tensors.
// Arithmetic over what engine/parallel, nn/sync_batch_norm and ssl/sinkhorn do. Pure.
#pragma once

#include <cstdint>

#include "engine/arch/network_cost.h"

namespace seer::engine {

struct Collectives {
  int64_t count = 0;
  int64_t bytes = 0;  // of the whole tensors: of a gather the output, of a reduce-scatter the input
  int group = 1;      // ranks that take part
};

// Nothing of a kind whose group is one rank.
struct StepTraffic {
  Collectives gradients;          // all-reduce in buckets; sharded: reduce-scatter a unit and part
  Collectives replica_gradients;  // sharded: all-reduce of shards between groups
  Collectives weights;            // sharded: all-gather of units, forward and backward
  Collectives norms;              // SyncBN: all-reduce of statistics, forward and backward
  Collectives codes;              // Sinkhorn: all-reduce of sums over samples
  Collectives numbers;            // loss, health, votes; features into the queue
};

StepTraffic CountTraffic(const NetworkCost& cost, const StepShape& step);

}  // namespace seer::engine
