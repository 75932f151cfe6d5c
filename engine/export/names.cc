#include "engine/export/names.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace seer::engine {
namespace {

constexpr absl::string_view kResnetParts[] = {"conv1.",  "bn1.",    "layer1.",
                                              "layer2.", "layer3.", "layer4."};
constexpr absl::string_view kRegnetParts[] = {"stem.", "trunk_output."};
constexpr absl::string_view kHeadParts[] = {"projection_head.", "prototypes."};

template <typename Parts>
bool StartsWithOneOf(absl::string_view name, const Parts& parts) {
  return std::any_of(std::begin(parts), std::end(parts),
                     [&](absl::string_view part) { return absl::StartsWith(name, part); });
}

// What convolution and norm layer of one ConvNorm are called.
struct Pair {
  absl::string_view convolution, norm;
};
constexpr Pair kTimmPair = {"conv", "bn"};
constexpr Pair kHuggingFacePair = {"convolution", "normalization"};

// "0.weight" -> convolution, "1.running_mean" -> norm; nullopt: neither.
std::optional<std::string> OfPair(absl::string_view rest, const Pair& pair) {
  if (absl::ConsumePrefix(&rest, "0.")) return absl::StrCat(pair.convolution, ".", rest);
  if (absl::ConsumePrefix(&rest, "1.")) return absl::StrCat(pair.norm, ".", rest);
  return std::nullopt;
}

std::optional<std::string> Prefixed(absl::string_view prefix, std::optional<std::string> rest) {
  if (!rest.has_value()) return std::nullopt;
  return absl::StrCat(prefix, *rest);
}

// The part of a RegNet block's name after "block1-0.".
std::optional<std::string> TimmBlock(absl::string_view rest) {
  if (absl::ConsumePrefix(&rest, "proj.")) return Prefixed("downsample.", OfPair(rest, kTimmPair));
  if (absl::ConsumePrefix(&rest, "f.a.")) return Prefixed("conv1.", OfPair(rest, kTimmPair));
  if (absl::ConsumePrefix(&rest, "f.b.")) return Prefixed("conv2.", OfPair(rest, kTimmPair));
  if (absl::ConsumePrefix(&rest, "f.c.")) return Prefixed("conv3.", OfPair(rest, kTimmPair));
  if (absl::ConsumePrefix(&rest, "f.se.")) return absl::StrCat("se.", rest);
  return std::nullopt;
}

std::optional<std::string> HuggingFaceBlock(absl::string_view rest, bool squeeze) {
  const Pair& pair = kHuggingFacePair;
  if (absl::ConsumePrefix(&rest, "proj.")) return Prefixed("shortcut.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.a.")) return Prefixed("layer.0.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.b.")) return Prefixed("layer.1.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.c."))
    return Prefixed(squeeze ? "layer.3." : "layer.2.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.se.fc1.")) return absl::StrCat("layer.2.attention.0.", rest);
  if (absl::ConsumePrefix(&rest, "f.se.fc2.")) return absl::StrCat("layer.2.attention.2.", rest);
  return std::nullopt;
}

// ClassyVision's anynet, which VISSL wraps.
std::optional<std::string> VisslBlock(absl::string_view rest) {
  if (absl::ConsumePrefix(&rest, "proj.")) return OfPair(rest, {"proj", "bn"});
  if (absl::StartsWith(rest, "f.a.") || absl::StartsWith(rest, "f.b.")) return std::string(rest);
  if (absl::ConsumePrefix(&rest, "f.c.")) return OfPair(rest, {"f.c", "f.final_bn"});
  if (absl::ConsumePrefix(&rest, "f.se.fc1.")) return absl::StrCat("f.se.excitation.0.", rest);
  if (absl::ConsumePrefix(&rest, "f.se.fc2.")) return absl::StrCat("f.se.excitation.2.", rest);
  return std::nullopt;
}

// "block1.block1-0.<rest>": stage from 1, block from 0.
struct BlockPlace {
  int stage = 0, block = 0;
  absl::string_view name;  // "block1-0"
  absl::string_view rest;
};

std::optional<BlockPlace> ParseBlock(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('.', 2));
  if (parts.size() != 3) return std::nullopt;
  BlockPlace place;
  place.name = parts[1];
  place.rest = parts[2];
  absl::string_view stage = parts[0], block = parts[1];
  if (!absl::ConsumePrefix(&stage, "block") || !absl::SimpleAtoi(stage, &place.stage) ||
      !absl::ConsumePrefix(&block, absl::StrCat(parts[0], "-")) ||
      !absl::SimpleAtoi(block, &place.block)) {
    return std::nullopt;
  }
  return place;
}

std::optional<std::string> RegnetName(absl::string_view name, WeightNames names, bool squeeze) {
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, "stem.")) {
    switch (names) {
      case WeightNames::kTorchvision:
        return std::string(name);
      case WeightNames::kTimm:
        return Prefixed("stem.", OfPair(rest, kTimmPair));
      case WeightNames::kHuggingFace:
        return Prefixed("embedder.embedder.", OfPair(rest, kHuggingFacePair));
      case WeightNames::kVissl:
        return absl::StrCat("trunk._feature_blocks.conv1.stem.", rest);
      case WeightNames::kSwav:
        return std::nullopt;
    }
  }
  if (!absl::ConsumePrefix(&rest, "trunk_output.")) return std::nullopt;
  const std::optional<BlockPlace> place = ParseBlock(rest);
  if (!place.has_value()) return std::nullopt;
  switch (names) {
    case WeightNames::kTorchvision:
      return std::string(name);
    case WeightNames::kTimm:
      return Prefixed(absl::StrCat("s", place->stage, ".b", place->block + 1, "."),
                      TimmBlock(place->rest));
    case WeightNames::kHuggingFace:
      return Prefixed(
          absl::StrCat("encoder.stages.", place->stage - 1, ".layers.", place->block, "."),
          HuggingFaceBlock(place->rest, squeeze));
    case WeightNames::kVissl:
      return Prefixed(
          absl::StrCat("trunk._feature_blocks.res", place->stage + 1, ".", place->name, "."),
          VisslBlock(place->rest));
    case WeightNames::kSwav:
      return std::nullopt;
  }
  return std::nullopt;
}

// "layer1.0.conv2.weight", "layer1.0.downsample.1.bias", "bn1.weight".
std::optional<std::string> HuggingFaceResnet(absl::string_view name) {
  if (absl::ConsumePrefix(&name, "conv1."))
    return absl::StrCat("embedder.embedder.convolution.", name);
  if (absl::ConsumePrefix(&name, "bn1."))
    return absl::StrCat("embedder.embedder.normalization.", name);
  const std::vector<absl::string_view> parts = absl::StrSplit(name, absl::MaxSplits('.', 3));
  if (parts.size() != 4) return std::nullopt;
  absl::string_view stage = parts[0], part = parts[2];
  int stage_number = 0, layer = 0;
  if (!absl::ConsumePrefix(&stage, "layer") || !absl::SimpleAtoi(stage, &stage_number))
    return std::nullopt;
  const std::string block =
      absl::StrCat("encoder.stages.", stage_number - 1, ".layers.", parts[1], ".");
  if (part == "downsample")
    return Prefixed(absl::StrCat(block, "shortcut."), OfPair(parts[3], kHuggingFacePair));
  const bool convolution = absl::ConsumePrefix(&part, "conv");
  if ((!convolution && !absl::ConsumePrefix(&part, "bn")) || !absl::SimpleAtoi(part, &layer))
    return std::nullopt;
  return absl::StrCat(block, "layer.", layer - 1, ".",
                      convolution ? kHuggingFacePair.convolution : kHuggingFacePair.norm, ".",
                      parts[3]);
}

std::optional<std::string> ResnetName(absl::string_view name, WeightNames names) {
  switch (names) {
    case WeightNames::kTorchvision:
    case WeightNames::kTimm:
      return std::string(name);
    case WeightNames::kHuggingFace:
      return HuggingFaceResnet(name);
    case WeightNames::kVissl:
      return absl::StrCat("trunk._feature_blocks.", name);
    case WeightNames::kSwav:
      return absl::StrCat("module.", name);
  }
  return std::nullopt;
}

std::optional<std::string> HeadName(absl::string_view name, WeightNames names) {
  if (names == WeightNames::kSwav) return absl::StrCat("module.", name);
  if (names != WeightNames::kVissl) return std::nullopt;
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, "prototypes.prototypes"))  // of several layers
    return absl::StrCat("heads.0.prototypes", rest);
  if (absl::ConsumePrefix(&rest, "prototypes.")) return absl::StrCat("heads.0.prototypes0.", rest);
  // A head of one layer has no number in the engine, as in SwAV.
  if (rest == "projection_head.weight" || rest == "projection_head.bias")
    return absl::StrCat("heads.0.projection_head.0.", absl::StripPrefix(rest, "projection_head."));
  return absl::StrCat("heads.0.", rest);
}

}  // namespace

absl::string_view WeightNamesText(WeightNames names) {
  switch (names) {
    case WeightNames::kTorchvision:
      return "torchvision";
    case WeightNames::kTimm:
      return "timm";
    case WeightNames::kHuggingFace:
      return "huggingface";
    case WeightNames::kVissl:
      return "vissl";
    case WeightNames::kSwav:
      return "swav";
  }
  return "";
}

std::optional<WeightNames> FindWeightNames(absl::string_view text) {
  for (const WeightNames names : kAllWeightNames) {
    if (text == WeightNamesText(names)) return names;
  }
  return std::nullopt;
}

bool IsTrunkTensor(absl::string_view name) {
  return StartsWithOneOf(name, kResnetParts) || StartsWithOneOf(name, kRegnetParts);
}

bool IsHeadTensor(absl::string_view name) { return StartsWithOneOf(name, kHeadParts); }

bool IsSqueezeTensor(absl::string_view name) {
  return IsTrunkTensor(name) && absl::StrContains(name, ".f.se.");
}

std::optional<std::string> LibraryName(absl::string_view name, WeightNames names, bool squeeze) {
  if (StartsWithOneOf(name, kResnetParts)) return ResnetName(name, names);
  if (IsHeadTensor(name)) return HeadName(name, names);
  return RegnetName(name, names, squeeze);
}

std::vector<std::string> NameVariants(absl::string_view name, WeightNames names) {
  std::vector<std::string> variants = {std::string(name)};
  absl::string_view rest = name;
  switch (names) {
    case WeightNames::kTorchvision:
    case WeightNames::kTimm:
      variants.push_back(absl::StrCat("module.", name));
      break;
    case WeightNames::kHuggingFace:
      variants.push_back(absl::StrCat("regnet.", name));
      variants.push_back(absl::StrCat("resnet.", name));
      break;
    case WeightNames::kVissl:
      if (absl::ConsumePrefix(&rest, "trunk.") || absl::ConsumePrefix(&rest, "heads."))
        variants.push_back(std::string(rest));
      break;
    case WeightNames::kSwav:
      if (absl::ConsumePrefix(&rest, "module.")) variants.push_back(std::string(rest));
      break;
  }
  return variants;
}

}  // namespace seer::engine
