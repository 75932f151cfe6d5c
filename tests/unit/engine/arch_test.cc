// The arithmetic of RegNets and ResNets against published numbers. No torch.
#include "engine/arch/trunk_design.h"

#include <map>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/support/status_matchers.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;
using Pairs = std::vector<std::pair<int, int64_t>>;  // blocks, width

Pairs Stages(const std::string& preset) {
  Pairs pairs;
  const auto stages = TrunkStages(*TrunkPreset(preset));
  for (const TrunkStage& stage : *stages) pairs.emplace_back(stage.blocks, stage.width);
  return pairs;
}

int64_t Parameters(const std::string& preset) {
  return CountTrunk(*TrunkPreset(preset), 224)->parameters;
}

TEST(Regnet, WidthsAsPublished) {
  // The authors' model zoo, and arXiv:2103.01988, section 3.1, for 128GF (RG256).
  EXPECT_EQ(Stages("regnety_200mf"), (Pairs{{1, 24}, {1, 56}, {4, 152}, {7, 368}}));
  EXPECT_EQ(Stages("regnety_400mf"), (Pairs{{1, 48}, {3, 104}, {6, 208}, {6, 440}}));
  EXPECT_EQ(Stages("regnety_800mf"), (Pairs{{1, 64}, {3, 144}, {8, 320}, {2, 784}}));
  EXPECT_EQ(Stages("regnety_8.0gf"), (Pairs{{2, 224}, {4, 448}, {10, 896}, {1, 2016}}));
  EXPECT_EQ(Stages("regnety_32gf"), (Pairs{{2, 232}, {5, 696}, {12, 1392}, {1, 3712}}));
  EXPECT_EQ(Stages("regnety_128gf"), (Pairs{{2, 528}, {7, 1056}, {17, 2904}, {1, 7392}}));
  EXPECT_EQ(Stages("regnetx_400mf"), (Pairs{{1, 32}, {2, 64}, {7, 160}, {12, 400}}));
}

TEST(Regnet, ParametersAsPublished) {
  // torchvision's model cards, less the classifier of 1000 classes: (width + 1) * 1000.
  const std::map<std::string, int64_t> with_classifier = {
      {"regnety_400mf", 4344144},  {"regnety_800mf", 6432512},   {"regnety_1.6gf", 11202430},
      {"regnety_3.2gf", 19436338}, {"regnety_8.0gf", 39381472},  {"regnety_16gf", 83590140},
      {"regnety_32gf", 145046770}, {"regnety_128gf", 644812894}, {"regnetx_400mf", 5495976},
      {"regnetx_800mf", 7259656},  {"regnetx_1.6gf", 9190136},   {"regnetx_3.2gf", 15296552},
      {"regnetx_8.0gf", 39572648}, {"regnetx_16gf", 54278536},   {"regnetx_32gf", 107811560}};
  for (const auto& [preset, parameters] : with_classifier) {
    EXPECT_EQ(Parameters(preset), parameters - (Stages(preset).back().second + 1) * 1000) << preset;
  }
  EXPECT_NEAR(static_cast<double>(Parameters("regnety_128gf")) / 1e6, 637.42, 0.005);
  EXPECT_NEAR(static_cast<double>(Parameters("regnety_256gf")) / 1e6, 1272.16, 0.005);
  EXPECT_NEAR(static_cast<double>(Parameters("regnety_10b")) / 1e6, 9323.93, 0.005);
}

TEST(Regnet, FlopsAsNamed) {
  // Multiply-adds at 224 pixels: a preset's name is its budget, met within a tenth.
  for (const auto& [preset, billions] : std::map<std::string, double>{{"regnety_200mf", 0.2},
                                                                      {"regnety_400mf", 0.4},
                                                                      {"regnety_800mf", 0.8},
                                                                      {"regnety_8.0gf", 8.0},
                                                                      {"regnety_16gf", 16},
                                                                      {"regnety_32gf", 32.3},
                                                                      {"regnety_128gf", 127.5},
                                                                      {"regnetx_32gf", 31.7}}) {
    EXPECT_NEAR(CountTrunk(*TrunkPreset(preset), 224)->flops_per_image / 1e9, billions,
                billions / 10)
        << preset;
  }
}

TEST(Resnet, StagesParametersAndWorkAsPublished) {
  EXPECT_EQ(Stages("resnet152"), (Pairs{{3, 256}, {8, 512}, {36, 1024}, {3, 2048}}));
  struct Published {
    int64_t parameters;  // of torchvision's model card, with the classifier of 1000 classes
    double billions;     // multiply-adds at 224 pixels, with it too
  };
  for (const auto& [preset, published] :
       std::map<std::string, Published>{{"resnet50", {25557032, 4.09}},
                                        {"resnet101", {44549160, 7.80}},
                                        {"resnet152", {60192808, 11.51}},
                                        {"wide_resnet50_2", {68883240, 11.40}},
                                        {"wide_resnet101_2", {126886696, 22.75}},
                                        {"resnext50_32x4d", {25028904, 4.23}},
                                        {"resnext101_32x8d", {88791336, 16.41}},
                                        {"resnext101_64x4d", {83455272, 15.46}}}) {
    EXPECT_EQ(Parameters(preset), published.parameters - 2049 * 1000) << preset;
    EXPECT_NEAR((CountTrunk(*TrunkPreset(preset), 224)->flops_per_image + 2048 * 1000) / 1e9,
                published.billions, 0.01)
        << preset;
  }
}

TEST(Resnet, OnlyTheStemsConvolutionTakesItsStride) {
  TrunkConfig config = *TrunkPreset("resnet50");
  const auto reference = CountTrunk(config, 64);
  config.stem_stride = 1;
  const auto cost = CountTrunk(config, 32);
  // At half the size, the stem writes as much and so does all that follows.
  EXPECT_EQ(cost->parameters, reference->parameters);
  EXPECT_EQ(cost->flops_per_image, reference->flops_per_image);
  EXPECT_EQ(cost->activations_per_image, reference->activations_per_image);
}

TEST(Trunk, EveryPresetCanBeBuilt) {
  for (const std::string& preset : TrunkPresetNames())
    EXPECT_OK(TrunkStages(*TrunkPreset(preset))) << preset;
}

TEST(Trunk, AnUnknownPresetNamesTheNearestOfBothFamilies) {
  const auto hint = [](const std::string& name) {
    const auto preset = TrunkPreset(name);
    EXPECT_THAT(preset, FailsWith(absl::StatusCode::kNotFound, reason::kInvalidSpec, name));
    return GetErrorDetail(preset.status()).value_or(ErrorDetail()).hint;
  };
  EXPECT_EQ(hint("resnet51"), "the nearest names are resnet50, resnet101, resnet152");
  EXPECT_EQ(hint("regnety_9gf"), "the nearest names are regnety_12gf, regnety_16gf, regnety_32gf");
}

TEST(Regnet, RefusesWhatMakesNoNetwork) {
  const RegnetParams good;
  const auto refused = [&](auto spoil, const std::string& text) {
    RegnetParams bad = good;
    spoil(bad);
    EXPECT_THAT(RegnetStages(bad),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, text));
  };
  refused([](RegnetParams& p) { p.depth = 0; }, "depth is 0");
  refused([](RegnetParams& p) { p.w_0 = 25; }, "multiple of 8");
  refused([](RegnetParams& p) { p.w_m = 1; }, "w_m");
  refused([](RegnetParams& p) { p.group_width = 0; }, "group_width");
  refused([](RegnetParams& p) { p.w_a = 1e9; }, "channels wide");
  EXPECT_THAT(CountTrunk({good, 3, std::nullopt}, 224),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "stride is 3"));
  EXPECT_THAT(CountTrunk({good, 2, std::nullopt}, 0),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "0 pixels"));
}

TEST(Resnet, RefusesWhatMakesNoNetwork) {
  const auto refused = [](const ResnetParams& bad, const std::string& text) {
    EXPECT_THAT(CountTrunk({{}, 2, bad}, 224),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, text));
  };
  refused({{3, 0, 6, 3}, 1, 64}, "0 blocks");
  refused({{3, 4, 6, 1001}, 1, 64}, "1001 blocks");
  refused({{3, 4, 6, 3}, 0, 64}, "groups is 0");
  refused({{3, 4, 6, 3}, 1, 0}, "width_per_group is 0");
  refused({{3, 4, 6, 3}, 1, 64, 0}, "stem_width is 0");
  refused({{3, 4, 6, 3}, 1, 8, 4}, "no channels");
  refused({{3, 4, 6, 3}, 1 << 20, 64}, "channels wide");
  EXPECT_THAT(CountTrunk({{}, 3, ResnetParams()}, 224),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "stride is 3"));
}

}  // namespace
}  // namespace seer::engine
