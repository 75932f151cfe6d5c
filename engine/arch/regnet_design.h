// RegNet by its design-space parameters (Radosavovic et al. 2020, arXiv:2003.13678, section 3.3 and
// equations 2-4): pure arithmetic, no torch.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/arch/trunk_cost.h"

namespace seer::engine {

// Section 3.3's parameters; the ranges are what RegnetStages accepts.
struct RegnetParams {
  int depth = 13;          // d: blocks in all, 1 to 1000
  double w_0 = 24;         // initial width in channels, a positive multiple of 8
  double w_a = 36.44;      // slope in channels a block, at least 0
  double w_m = 2.49;       // quantisation, above 1
  int group_width = 8;     // channels of a group of the 3 x 3 convolutions, at least 1
  double se_ratio = 0.25;  // squeeze-and-excitation, of the block's input width; 0: RegNetX
};

struct RegnetStage {
  int blocks = 0;
  int64_t width = 0;        // channels
  int64_t group_width = 0;  // min(group width, width); the width is rounded to a multiple of it
  int stride = 2;           // of the stage's first block
};

inline constexpr int64_t kRegnetStemWidth = 32;

// Equations 2 to 4, with torchvision's rounding: widths to multiples of 8, then of the group width.
// Blocks of one width are one stage. INVALID_ARGUMENT with OUT_OF_RANGE names the parameter: out of
// its range, or a block would be wider than 2^20 channels.
absl::StatusOr<std::vector<RegnetStage>> RegnetStages(const RegnetParams& params);

// Channels of the squeeze-and-excitation bottleneck of a block whose input has `input_width`
// channels: se_ratio of them, rounded to the nearest whole number; 0: none.
int64_t RegnetSqueezeWidth(const RegnetParams& params, int64_t input_width);

// Of the network that nn/regnet.h builds, for a square crop of `image_size` pixels, at least 1, and
// a stem of stride 1 or 2. Errors as RegnetStages.
absl::StatusOr<TrunkCost> RegnetCost(const RegnetParams& params, int stem_stride, int image_size);

}  // namespace seer::engine
