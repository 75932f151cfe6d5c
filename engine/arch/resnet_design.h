// Bottleneck ResNets (He et al. 2016, arXiv:1512.03385) with the stride at the 3 x 3 convolution
// ("v1.5", as torchvision.models.resnet), wide (Zagoruyko & Komodakis 2016, arXiv:1605.07146) and
// with groups (ResNeXt, Xie et al. 2017, arXiv:1611.05431): pure arithmetic, no torch.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/arch/trunk_cost.h"

namespace seer::engine {

inline constexpr int kResnetExpansion = 4;  // a bottleneck's output channels over its planes

// torchvision's parameters; the ranges are what ResnetStages accepts, each up to 2^20.
struct ResnetParams {
  std::array<int, 4> blocks = {3, 4, 6, 3};  // of each stage, 1 to 1000
  int groups = 1;                            // of the 3 x 3 convolutions, at least 1
  int width_per_group = 64;  // channels of a group in the first stage, at stem_width 64; at least 1
  int stem_width = 64;       // channels; a stage has this many planes, doubled at each; at least 1
};

struct ResnetStage {
  int blocks = 0;
  int64_t inner_width = 0;  // channels of the 3 x 3 convolutions, a multiple of groups
  int64_t width = 0;        // channels of the blocks' outputs
  int stride = 2;           // of the stage's first block
};

// INVALID_ARGUMENT with OUT_OF_RANGE names the parameter: out of its range, an inner width of 0, or
// a width above 2^20 channels.
absl::StatusOr<std::vector<ResnetStage>> ResnetStages(const ResnetParams& params);

// Of the network that nn/resnet.h builds, for a square crop of `image_size` pixels, at least 1, and
// a first convolution of stride 1 or 2. Errors as ResnetStages.
absl::StatusOr<TrunkCost> ResnetCost(const ResnetParams& params, int stem_stride, int image_size);

}  // namespace seer::engine
