// What a rank's memory holds during a step, by an analytic count, and which segments to recompute
// so that it fits (Chen et al. 2016, arXiv:1604.06174, with the cut points at the segments). Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/arch/trunk_cost.h"

namespace seer::engine {

// One rank's share of a step, before it is decided what is recomputed.
struct MemoryDemand {
  int64_t parameters = 0;     // numbers, of the whole network
  int optimizer_numbers = 1;  // kept a parameter: 1 momentum, 2 AdamW's moments; 1 more for a mean
  int bytes_per_activation = 4;
  // [resolutions]: the trunk's cost at that crop size, and how many crops of it this rank has.
  struct Resolution {
    TrunkCost cost;
    int64_t crops = 0;
  };
  std::vector<Resolution> resolutions;
};

struct MemoryPlan {
  std::vector<bool> recompute;     // [segments of the trunk]
  int64_t state_bytes = 0;         // weights, gradients and optimiser state, float
  int64_t activation_bytes = 0;    // kept from the forward to the backward pass
  int64_t transient_bytes = 0;     // at most one segment's: the graph that a recompute builds, and
                                   // the gradients of its activations
  double extra_forward_ratio = 0;  // multiply-adds run again, over those of the forward pass
  int64_t peak_bytes() const { return state_bytes + activation_bytes + transient_bytes; }
};

// The plan of a choice. `recompute`: one a segment of the trunk.
MemoryPlan CountMemory(const MemoryDemand& demand, std::vector<bool> recompute);

// Recomputes segments, those first that free the most bytes for a multiply-add, until the peak is
// within `budget_bytes`; then keeps again whatever still fits. INVALID_ARGUMENT with OUT_OF_RANGE:
// not even recomputing all of them is enough; says what is.
absl::StatusOr<MemoryPlan> FitMemory(const MemoryDemand& demand, int64_t budget_bytes);

}  // namespace seer::engine
