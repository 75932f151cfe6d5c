#include "client/commands/spec_file.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/spec/defaults.h"
#include "common/spec/given_specs.h"

namespace seer::client {
namespace {

// Those of the installation, and what lies beside the file and here.
std::vector<std::string> RecipeDirs(const std::string& file) {
  std::vector<std::string> dirs = ShippedRecipeDirs();
  const std::string beside = std::filesystem::path(file).parent_path().string();
  dirs.insert(dirs.end() - 2, {beside.empty() ? "." : beside, "recipes"});
  return dirs;
}

absl::StatusOr<SpecText> ReadText(const std::string& file) {
  std::stringstream text;
  if (file == "-") {
    text << std::cin.rdbuf();
    return SpecText{text.str(), "stdin"};
  }
  std::ifstream stream(file);
  if (!stream || std::filesystem::is_directory(file))
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("cannot read ", file))
        .Hint("name a YAML file with a job; recipes/ has examples");
  text << stream.rdbuf();
  return SpecText{text.str(), file};
}

}  // namespace

absl::StatusOr<v1::JobSpec> ReadGivenSpec(const SpecOptions& options) {
  SEER_ASSIGN_OR_RETURN(const SpecText text, ReadText(options.file));
  return seer::ReadGivenSpec(text, {options.sets, options.name}, RecipeDirs(options.file));
}

absl::StatusOr<v1::JobSpec> ReadSpec(const SpecOptions& options) {
  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec, ReadGivenSpec(options));
  FillDefaults(spec);
  return spec;
}

absl::StatusOr<std::vector<v1::JobSpec>> ReadGivenSpecs(const SpecOptions& options) {
  SEER_ASSIGN_OR_RETURN(const SpecText text, ReadText(options.file));
  return seer::ReadGivenSpecs(text, {options.sets, options.name}, RecipeDirs(options.file));
}

void AddSpecOptions(CLI::App& app, SpecOptions& options, const SpecFlags& flags) {
  app.add_option("file", options.file, "YAML file with the job, or - for stdin")
      ->required(flags.required);
  app.add_option("--set", options.sets, "KEY=VALUE over the file, may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--name", options.name, absl::StrCat("The ", flags.named, "'s name"));
}

}  // namespace seer::client
