#include "engine/export/names.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace seer::engine {
namespace {

// A ResNet is named alike in torchvision and timm.
constexpr absl::string_view kResnetParts[] = {"conv1.",  "bn1.",    "layer1.",
                                              "layer2.", "layer3.", "layer4."};

// What convolution and norm layer of one ConvNorm are called.
struct Pair {
  absl::string_view convolution, norm;
};

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

// The part of a block's name after "block1-0.".
std::optional<std::string> TimmBlock(absl::string_view rest) {
  const Pair pair = {"conv", "bn"};
  if (absl::ConsumePrefix(&rest, "proj.")) return Prefixed("downsample.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.a.")) return Prefixed("conv1.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.b.")) return Prefixed("conv2.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.c.")) return Prefixed("conv3.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.se.")) return absl::StrCat("se.", rest);
  return std::nullopt;
}

std::optional<std::string> HuggingFaceBlock(absl::string_view rest, bool squeeze) {
  const Pair pair = {"convolution", "normalization"};
  if (absl::ConsumePrefix(&rest, "proj.")) return Prefixed("shortcut.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.a.")) return Prefixed("layer.0.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.b.")) return Prefixed("layer.1.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.c."))
    return Prefixed(squeeze ? "layer.3." : "layer.2.", OfPair(rest, pair));
  if (absl::ConsumePrefix(&rest, "f.se.fc1.")) return absl::StrCat("layer.2.attention.0.", rest);
  if (absl::ConsumePrefix(&rest, "f.se.fc2.")) return absl::StrCat("layer.2.attention.2.", rest);
  return std::nullopt;
}

}  // namespace

std::optional<std::string> TrunkName(absl::string_view name, WeightNames names, bool squeeze) {
  for (const absl::string_view part : kResnetParts) {
    if (!absl::StartsWith(name, part)) continue;
    if (names == WeightNames::kHuggingFace) return std::nullopt;
    return std::string(name);
  }
  absl::string_view rest = name;
  if (absl::ConsumePrefix(&rest, "stem.")) {
    switch (names) {
      case WeightNames::kTorchvision:
        return std::string(name);
      case WeightNames::kTimm:
        return Prefixed("stem.", OfPair(rest, {"conv", "bn"}));
      case WeightNames::kHuggingFace:
        return Prefixed("embedder.embedder.", OfPair(rest, {"convolution", "normalization"}));
    }
  }
  if (!absl::ConsumePrefix(&rest, "trunk_output.")) return std::nullopt;
  if (names == WeightNames::kTorchvision) return std::string(name);
  // "block1.block1-0.<rest>": stage from 1, block from 0.
  const std::vector<absl::string_view> parts = absl::StrSplit(rest, absl::MaxSplits('.', 2));
  if (parts.size() != 3) return std::nullopt;
  absl::string_view stage = parts[0], block = parts[1];
  int stage_number = 0, block_number = 0;
  if (!absl::ConsumePrefix(&stage, "block") || !absl::SimpleAtoi(stage, &stage_number) ||
      !absl::ConsumePrefix(&block, absl::StrCat(parts[0], "-")) ||
      !absl::SimpleAtoi(block, &block_number)) {
    return std::nullopt;
  }
  return names == WeightNames::kTimm
             ? Prefixed(absl::StrCat("s", stage_number, ".b", block_number + 1, "."),
                        TimmBlock(parts[2]))
             : Prefixed(
                   absl::StrCat("encoder.stages.", stage_number - 1, ".layers.", block_number, "."),
                   HuggingFaceBlock(parts[2], squeeze));
}

}  // namespace seer::engine
