// Bottleneck ResNet trunks as a chain of segments: the stem with its max pool, every bottleneck,
// the final average pool. Parameters have torchvision's names ("conv1.weight", "bn1.weight",
// "layer1.0.conv1.weight", "layer1.0.downsample.0.weight" …), initial weights torchvision's rule
// (convolutions normal by fan-out, norms 1 and 0).
#pragma once

#include "absl/status/statusor.h"
#include "engine/arch/resnet_design.h"
#include "engine/nn/blocks.h"
#include "engine/nn/segment.h"

namespace seer::engine {

// Built as torchvision.models.resnet; `stem_stride`, 1 or 2, is of the 7 x 7 convolution alone: the
// 3 x 3 max pool of stride 2 stays.
// INVALID_ARGUMENT with OUT_OF_RANGE: the parameters make no network (ResnetStages).
absl::StatusOr<Chain> BuildResnet(const ResnetParams& params, int stem_stride,
                                  const BuildContext& context);

}  // namespace seer::engine
