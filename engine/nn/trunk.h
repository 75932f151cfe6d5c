// The trunk of a network: a chain of segments from images to features, of either family.
#pragma once

#include "absl/status/statusor.h"
#include "engine/arch/trunk_design.h"
#include "engine/nn/blocks.h"
#include "engine/nn/segment.h"

namespace seer::engine {

struct Trunk {
  Chain chain;        // [N, 3, H, W] float or bfloat16 -> [N, width], same type
  int64_t width = 0;  // of the output feature
};

// INVALID_ARGUMENT with OUT_OF_RANGE: the configuration makes no network (TrunkStages).
absl::StatusOr<Trunk> BuildTrunk(const TrunkConfig& config, const BuildContext& context);

}  // namespace seer::engine
