// What a rank's memory holds during a step, by an analytic count, and which segments to recompute
// so that it fits (Chen et al. 2016, arXiv:1604.06174, with the cut points at the segments). Pure.
// Not counted: the program itself and scratch space of convolutions. How far the count is from what
// a process takes stands in docs/performance.md.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/arch/network_cost.h"

namespace seer::engine {

struct MemoryPlan {
  std::vector<bool> recompute;  // [segments of the trunk]; the head is kept
  // There all the time, float. Sharded: this rank's share.
  int64_t weight_bytes = 0, gradient_bytes = 0, optimizer_bytes = 0;
  // Sharded: whole weights of two units, the one in use and the next, and whole gradients of the
  // unit in use and of the last one, which is being reduced.
  int64_t gathered_bytes = 0;
  int64_t activation_bytes = 0;  // kept from the forward to the backward pass, pixels included
  // What the step's fullest moment has besides: the graph that a recompute builds, gradients of
  // activations, the loss; and what the heap wastes on them.
  int64_t transient_bytes = 0;
  int64_t host_bytes = 0;          // offloaded: weights, gradients and state, in no sum below
  double extra_forward_ratio = 0;  // multiply-adds run again, over those of one forward pass
  int64_t state_bytes() const { return weight_bytes + gradient_bytes + optimizer_bytes; }
  int64_t peak_bytes() const {
    return state_bytes() + gathered_bytes + activation_bytes + transient_bytes;
  }
};

// The plan of a choice. `recompute`: one a segment of the trunk.
MemoryPlan CountMemory(const NetworkCost& cost, const StepShape& step, std::vector<bool> recompute);

// Recomputes segments, those first that free the most bytes for a multiply-add, until the peak is
// within `budget_bytes`; then keeps again whatever still fits. INVALID_ARGUMENT with OUT_OF_RANGE:
// not even recomputing all of them is enough; says what is.
absl::StatusOr<MemoryPlan> FitMemory(const NetworkCost& cost, const StepShape& step,
                                     int64_t budget_bytes);

}  // namespace seer::engine
