// The crops that verbs of `seer pool` show: --crops, --flip and --interpolation.
#include <CLI/CLI.hpp>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/commands/pool.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/flags/choice.h"

namespace seer::client {
namespace {

absl::StatusOr<v1::CropRecipe> ParseCrop(const std::string& text, bool first,
                                         const CropOptions& options) {
  v1::CropRecipe recipe;
  double min_scale = first ? 0.14 : 0.05, max_scale = first ? 1.0 : 0.14;
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  const std::vector<std::string> shape = absl::StrSplit(parts[0], 'x');
  int views = 0, size = 0;
  bool good = parts.size() <= 2 && shape.size() == 2 && absl::SimpleAtoi(shape[0], &views) &&
              absl::SimpleAtoi(shape[1], &size);
  if (good && parts.size() == 2) {
    const std::vector<std::string> scales = absl::StrSplit(parts[1], '-');
    good = scales.size() == 2 && absl::SimpleAtod(scales[0], &min_scale) &&
           absl::SimpleAtod(scales[1], &max_scale);
  }
  if (!good) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("--crops: '", text, "' is not VIEWSxSIZE or VIEWSxSIZE:MIN-MAX"))
        .Field("crops")
        .Hint("such as 2x160:0.14-1,4x96:0.05-0.14");
  }
  recipe.set_views(views);
  recipe.set_size(size);
  recipe.set_min_scale(min_scale);
  recipe.set_max_scale(max_scale);
  recipe.set_flip_probability(options.flip_probability);
  recipe.set_interpolation(options.interpolation);
  return recipe;
}

}  // namespace

void AddCropOptions(CLI::App& verb, CropOptions& options, const std::string& shows) {
  verb.add_option(
          "--crops", options.crops,
          absl::StrCat("VIEWSxSIZE or VIEWSxSIZE:MIN-MAX (shares of the image's area), with "
                       "commas between: ",
                       shows))
      ->delimiter(',');
  verb.add_option("--flip", options.flip_probability, "Probability that a view is mirrored")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  AddChoice<v1::Interpolation>(
      verb, "--interpolation", options.interpolation,
      {{"bilinear", v1::INTERPOLATION_BILINEAR}, {"bicubic", v1::INTERPOLATION_BICUBIC}},
      "As the job's augment.interpolation: bilinear (the default) or bicubic");
}

absl::StatusOr<std::vector<v1::CropRecipe>> ParseCrops(const CropOptions& options) {
  std::vector<v1::CropRecipe> recipes;
  for (const std::string& crop : options.crops) {
    SEER_ASSIGN_OR_RETURN(auto recipe, ParseCrop(crop, recipes.empty(), options));
    recipes.push_back(std::move(recipe));
  }
  return recipes;
}

}  // namespace seer::client
