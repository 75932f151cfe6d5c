// RegNetX and RegNetY trunks as a chain of segments: the stem, every residual block, the final
// average pool. Parameters have torchvision's names ("stem.0.weight",
// "trunk_output.block1.block1-0.f.a.0.weight" …).
#pragma once

#include "absl/status/statusor.h"
#include "engine/arch/regnet_design.h"
#include "engine/nn/blocks.h"
#include "engine/nn/segment.h"

namespace seer::engine {

// Built as torchvision.models.regnet (arXiv:2003.13678); with a `stem_stride` of 1, not 2, only the
// stem differs.
// INVALID_ARGUMENT with OUT_OF_RANGE: the parameters make no network (RegnetStages).
absl::StatusOr<Chain> BuildRegnet(const RegnetParams& params, int stem_stride,
                                  const BuildContext& context);

}  // namespace seer::engine
