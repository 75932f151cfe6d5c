// RegNetX and RegNetY trunks as a chain of segments: the stem, every residual block, the final
// average pool. Parameters have torchvision's names ("stem.0.weight",
// "trunk_output.block1.block1-0.f.a.0.weight" …).
#pragma once

#include "absl/status/statusor.h"
#include "engine/arch/regnet_design.h"
#include "engine/nn/blocks.h"
#include "engine/nn/segment.h"

namespace seer::engine {

struct Trunk {
  Chain chain;        // [N, 3, H, W] float or bfloat16 -> [N, width], same type
  int64_t width = 0;  // of the output feature
};

// Built as torchvision.models.regnet (arXiv:2003.13678); with stem_stride 1 only the stem differs.
// INVALID_ARGUMENT with OUT_OF_RANGE: the configuration makes no network (arch/regnet_design.h).
absl::StatusOr<Trunk> BuildRegnet(const TrunkConfig& config, const BuildContext& context);

}  // namespace seer::engine
