// Names that other libraries give the weights of a network. The engine's own are torchvision's for
// the trunk and those of SwAV's reference implementation for head and prototypes.
// Pure; no torch.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace seer::engine {

enum class WeightNames {
  kTorchvision,  // torchvision.models: "trunk_output.block1.block1-0.f.a.0.weight"
  kTimm,         // timm.models.regnet: "s1.b1.conv1.conv.weight"; ResNets as torchvision
  // transformers.RegNetModel and ResNetModel:
  // "encoder.stages.0.layers.0.layer.0.convolution.weight"
  kHuggingFace,
  // VISSL's state_dict of trunk and heads: "trunk._feature_blocks.res2.block1-0.f.a.0.weight",
  // "heads.0.projection_head.0.weight", "heads.0.prototypes0.weight"
  kVissl,
  // github.com/facebookresearch/swav: "module.layer1.0.conv1.weight", "module.prototypes.weight";
  // it has ResNets alone
  kSwav,
};

inline constexpr std::array kAllWeightNames = {WeightNames::kTorchvision, WeightNames::kTimm,
                                               WeightNames::kHuggingFace, WeightNames::kVissl,
                                               WeightNames::kSwav};

// In front of a parameter's name: its exponential mean, in checkpoints.
inline constexpr char kWeightMeanPrefix[] = "ema/";

// What the user is told who gives a PyTorch pickle where a safetensors file is wanted.
inline constexpr char kPickleHint[] =
    "a pickle can run code; convert it in Python: import torch, safetensors.torch as s; "
    "s.save_file({k: v.contiguous() for k, v in torch.load('IN.pth', map_location='cpu', "
    "weights_only=True).items()}, 'OUT.safetensors')";

// "torchvision", "timm", "huggingface", "vissl" or "swav": as options and specs spell it.
absl::string_view WeightNamesText(WeightNames names);
std::optional<WeightNames> FindWeightNames(absl::string_view text);

// Whether the engine's tensor `name` is a weight or running statistic of a trunk.
bool IsTrunkTensor(absl::string_view name);
// The same of the projection head and the prototypes.
bool IsHeadTensor(absl::string_view name);

// Whether it is of squeeze-and-excitation: then the trunk is a RegNetY.
bool IsSqueezeTensor(absl::string_view name);

// The name of the engine's tensor `name` there; nullopt: it has none. Torchvision, timm and Hugging
// Face have no head and no prototypes, SwAV has no RegNets, and nobody the optimiser's state.
// `squeeze`: the trunk has squeeze-and-excitation (RegNetY), which takes a place of its own in
// Hugging Face's numbering.
std::optional<std::string> LibraryName(absl::string_view name, WeightNames names, bool squeeze);

// The names under which files of that library may have what LibraryName calls `name`, the usual
// first: wrappers ("module.") and models with a classifier ("regnet.") put words in front.
std::vector<std::string> NameVariants(absl::string_view name, WeightNames names);

}  // namespace seer::engine
