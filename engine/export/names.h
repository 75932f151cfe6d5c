// Names that other libraries give the weights of a trunk. The engine's own are torchvision's.
// Pure; no torch.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace seer::engine {

enum class WeightNames {
  kTorchvision,  // torchvision.models.regnet: "trunk_output.block1.block1-0.f.a.0.weight"
  kTimm,         // timm.models.regnet: "s1.b1.conv1.conv.weight"
  kHuggingFace,  // transformers.RegNetModel: "encoder.stages.0.layers.0.layer.0.convolution.weight"
};

// The name of the trunk's parameter or buffer `name` there; nullopt: it is none of a trunk (head,
// prototypes, optimiser state), or of a ResNet for Hugging Face. `squeeze`: the trunk has
// squeeze-and-excitation (RegNetY), which takes a place of its own in Hugging Face's numbering.
std::optional<std::string> TrunkName(absl::string_view name, WeightNames names, bool squeeze);

}  // namespace seer::engine
