// RegNet by its design-space parameters (Radosavovic et al. 2020, arXiv:2003.13678, section 3.3 and equations 2-4):
// pure arithmetic, no torch, so that `seer job plan` works on any laptop.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace seer::engine {

struct RegnetParams {
  int depth = 13;            // d
  double w_0 = 24;           // initial width
  double w_a = 36.44;        // slope
  double w_m = 2.49;         // quantisation
  int group_width = 8;
  double se_ratio = 0.25;    // squeeze-and-excitation, of the block's input width; 0: RegNetX
};

struct TrunkConfig {
  RegnetParams regnet;
  int stem_stride = 2;       // 1 for small images
};

struct RegnetStage {
  int blocks = 0;
  int64_t width = 0;
  int64_t group_width = 0;   // min(group width, width); the width is rounded to a multiple of it
  int stride = 2;            // of the stage's first block
};

inline constexpr int64_t kRegnetStemWidth = 32;

// Presets by name: "regnety_200mf", "regnety_400mf", "regnety_800mf", "regnetx_…"; NOT_FOUND lists the nearest.
absl::StatusOr<RegnetParams> RegnetPreset(const std::string& name);
std::vector<std::string> RegnetPresetNames();

// INVALID_ARGUMENT: a parameter out of range, or widths that cannot be made.
absl::StatusOr<std::vector<RegnetStage>> RegnetStages(const RegnetParams& params);

// Channels of the squeeze-and-excitation bottleneck of a block whose input has `input_width` channels; 0: none.
int64_t RegnetSqueezeWidth(const RegnetParams& params, int64_t input_width);

struct TrunkCost {
  int64_t parameters = 0;
  double flops_per_image = 0;        // multiply-adds of one forward pass at one size x size crop
  double activations_per_image = 0;  // outputs of the convolutions
};
absl::StatusOr<TrunkCost> RegnetCost(const TrunkConfig& config, int image_size);

}  // namespace seer::engine
