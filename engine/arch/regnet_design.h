// RegNet by its design-space parameters (Radosavovic et al. 2020, arXiv:2003.13678, section 3.3 and
// equations 2-4): pure arithmetic, no torch, so that `seer job plan` works on any laptop.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

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

struct TrunkConfig {
  RegnetParams regnet;
  int stem_stride = 2;  // 1 or 2; 1 suits small images
};

struct RegnetStage {
  int blocks = 0;
  int64_t width = 0;        // channels
  int64_t group_width = 0;  // min(group width, width); the width is rounded to a multiple of it
  int stride = 2;           // of the stage's first block
};

inline constexpr int64_t kRegnetStemWidth = 32;

// Presets by name: "regnety_200mf" … "regnety_128gf", "regnetx_…"; see RegnetPresetNames.
// NOT_FOUND lists the nearest.
absl::StatusOr<RegnetParams> RegnetPreset(const std::string& name);
std::vector<std::string> RegnetPresetNames();  // sorted

// Equations 2 to 4, with torchvision's rounding: widths to multiples of 8, then of the group width.
// Blocks of one width are one stage. INVALID_ARGUMENT with OUT_OF_RANGE names the parameter: out of
// its range, or a block would be wider than 2^20 channels.
absl::StatusOr<std::vector<RegnetStage>> RegnetStages(const RegnetParams& params);

// Channels of the squeeze-and-excitation bottleneck of a block whose input has `input_width`
// channels: se_ratio of them, rounded to the nearest whole number; 0: none.
int64_t RegnetSqueezeWidth(const RegnetParams& params, int64_t input_width);

// Of convolutions, their norm layers and squeeze-and-excitation, without head and classifier.
struct TrunkCost {
  int64_t parameters = 0;            // weights, scales and biases
  double flops_per_image = 0;        // multiply-adds of one forward pass at one size x size crop
  double activations_per_image = 0;  // outputs of the convolutions
};
// `image_size`: pixels of the crop's edge, at least 1. INVALID_ARGUMENT with OUT_OF_RANGE: that,
// the stem's stride, or a parameter (as RegnetStages).
absl::StatusOr<TrunkCost> RegnetCost(const TrunkConfig& config, int image_size);

}  // namespace seer::engine
