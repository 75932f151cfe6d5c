// A trunk of either family, RegNet or ResNet: its configuration, stages, cost and presets. Pure
// arithmetic, no torch, so that `seer job plan` works on any laptop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/arch/regnet_design.h"
#include "engine/arch/resnet_design.h"

namespace seer::engine {

struct TrunkConfig {
  RegnetParams regnet;
  // Stride of the first convolution, 1 or 2; 1 suits small images.
  // A ResNet's max pool, of stride 2, stays either way.
  int stem_stride = 2;
  std::optional<ResnetParams> resnet;  // where it is set the trunk is this, and regnet is not used
};

// Presets by name: "regnety_200mf" … "regnety_10b", "regnetx_…", and torchvision's names of the
// bottleneck ResNets, "resnet50" … "resnext101_64x4d"; stem_stride is 2.
// NOT_FOUND lists the nearest names of both families.
absl::StatusOr<TrunkConfig> TrunkPreset(const std::string& name);
std::vector<std::string> TrunkPresetNames();  // sorted

struct TrunkStage {
  int blocks = 0;
  int64_t width = 0;  // channels of the blocks' outputs; the last stage's is the feature's width
};
// INVALID_ARGUMENT with OUT_OF_RANGE: the stem's stride, or a parameter of the family
// (RegnetStages, ResnetStages).
absl::StatusOr<std::vector<TrunkStage>> TrunkStages(const TrunkConfig& config);

// `image_size`: pixels of the crop's edge, at least 1. INVALID_ARGUMENT with OUT_OF_RANGE: that, or
// as TrunkStages.
absl::StatusOr<TrunkCost> CountTrunk(const TrunkConfig& config, int image_size);

}  // namespace seer::engine
