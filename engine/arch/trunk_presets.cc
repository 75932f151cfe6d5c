#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "engine/arch/trunk_design.h"

namespace seer::engine {
namespace {

// depth, w_0, w_a, w_m, group width, SE ratio. 200MF to 32GF: Radosavovic et al. 2020, tables 2 and
// 3, with the numbers of the authors' model zoo (torchvision has the same for those it ships).
// 128GF: torchvision, and the trunk of SEER (arXiv:2103.01988, "RG256"). 256GF and 10B: the
// configurations of the SEER follow-up (arXiv:2202.08360).
const std::map<std::string, RegnetParams>& RegnetPresets() {
  static const auto* presets = new std::map<std::string, RegnetParams>{
      {"regnetx_200mf", {13, 24, 36.44, 2.49, 8, 0}},
      {"regnetx_400mf", {22, 24, 24.48, 2.54, 16, 0}},
      {"regnetx_600mf", {16, 48, 36.97, 2.24, 24, 0}},
      {"regnetx_800mf", {16, 56, 35.73, 2.28, 16, 0}},
      {"regnetx_1.6gf", {18, 80, 34.01, 2.25, 24, 0}},
      {"regnetx_3.2gf", {25, 88, 26.31, 2.25, 48, 0}},
      {"regnetx_4.0gf", {23, 96, 38.65, 2.43, 40, 0}},
      {"regnetx_6.4gf", {17, 184, 60.83, 2.07, 56, 0}},
      {"regnetx_8.0gf", {23, 80, 49.56, 2.88, 120, 0}},
      {"regnetx_12gf", {19, 168, 73.36, 2.37, 112, 0}},
      {"regnetx_16gf", {22, 216, 55.59, 2.1, 128, 0}},
      {"regnetx_32gf", {23, 320, 69.86, 2.0, 168, 0}},
      {"regnety_200mf", {13, 24, 36.44, 2.49, 8, 0.25}},
      {"regnety_400mf", {16, 48, 27.89, 2.09, 8, 0.25}},
      {"regnety_600mf", {15, 48, 32.54, 2.32, 16, 0.25}},
      {"regnety_800mf", {14, 56, 38.84, 2.4, 16, 0.25}},
      {"regnety_1.6gf", {27, 48, 20.71, 2.65, 24, 0.25}},
      {"regnety_3.2gf", {21, 80, 42.63, 2.66, 24, 0.25}},
      {"regnety_4.0gf", {22, 96, 31.41, 2.24, 64, 0.25}},
      {"regnety_6.4gf", {25, 112, 33.22, 2.27, 72, 0.25}},
      {"regnety_8.0gf", {17, 192, 76.82, 2.19, 56, 0.25}},
      {"regnety_12gf", {19, 168, 73.36, 2.37, 112, 0.25}},
      {"regnety_16gf", {18, 200, 106.23, 2.48, 112, 0.25}},
      {"regnety_32gf", {20, 232, 115.89, 2.53, 232, 0.25}},
      {"regnety_128gf", {27, 456, 160.83, 2.52, 264, 0.25}},
      {"regnety_256gf", {27, 640, 230.83, 2.53, 373, 0.25}},
      {"regnety_10b", {27, 1744, 620.83, 2.52, 1010, 0.25}},
  };
  return *presets;
}

// Blocks of the stages, groups, width of a group: torchvision.models.resnet, after the papers that
// arch/resnet_design.h names (wide: twice the inner width, so 128 channels of one group).
const std::map<std::string, ResnetParams>& ResnetPresets() {
  static const auto* presets = new std::map<std::string, ResnetParams>{
      {"resnet50", {{3, 4, 6, 3}, 1, 64}},          {"resnet101", {{3, 4, 23, 3}, 1, 64}},
      {"resnet152", {{3, 8, 36, 3}, 1, 64}},        {"resnext50_32x4d", {{3, 4, 6, 3}, 32, 4}},
      {"resnext101_32x8d", {{3, 4, 23, 3}, 32, 8}}, {"resnext101_64x4d", {{3, 4, 23, 3}, 64, 4}},
      {"wide_resnet50_2", {{3, 4, 6, 3}, 1, 128}},  {"wide_resnet101_2", {{3, 4, 23, 3}, 1, 128}},
  };
  return *presets;
}

// Levenshtein distance, for "did you mean".
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

}  // namespace

absl::StatusOr<TrunkConfig> TrunkPreset(const std::string& name) {
  TrunkConfig config;
  if (const auto regnet = RegnetPresets().find(name); regnet != RegnetPresets().end()) {
    config.regnet = regnet->second;
    return config;
  }
  if (const auto resnet = ResnetPresets().find(name); resnet != ResnetPresets().end()) {
    config.resnet = resnet->second;
    return config;
  }
  std::vector<std::string> names = TrunkPresetNames();
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return Distance(name, a) < Distance(name, b);
  });
  names.resize(3);
  return Error(absl::StatusCode::kNotFound, reason::kInvalidSpec,
               absl::StrCat("no trunk preset is called '", name, "'"))
      .Hint(absl::StrCat("the nearest names are ", absl::StrJoin(names, ", ")))
      .With("preset", name);
}

std::vector<std::string> TrunkPresetNames() {
  std::vector<std::string> names;
  for (const auto& [name, params] : RegnetPresets()) names.push_back(name);
  for (const auto& [name, params] : ResnetPresets()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace seer::engine
