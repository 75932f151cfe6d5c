#include "client/commands/spec_file.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/spec/defaults.h"
#include "common/spec/validate.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

std::vector<std::string> RecipeDirs(const std::string& file) {
  std::vector<std::string> dirs;
  if (const char* dir = std::getenv("SEER_RECIPES")) dirs.push_back(dir);
  dirs.push_back(std::filesystem::path(file).parent_path().string());
  if (dirs.back().empty()) dirs.back() = ".";
  dirs.push_back("recipes");
  std::error_code error;
  const auto binary = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  dirs.push_back((binary / "../share/seer/recipes").string());
  dirs.push_back((binary / "../../../recipes").string());  // a build folder of the source tree
  return dirs;
}

}  // namespace

absl::StatusOr<v1::JobSpec> ReadSpec(const SpecOptions& options) {
  std::stringstream text;
  std::string source = options.file;
  if (options.file == "-") {
    source = "stdin";
    text << std::cin.rdbuf();
  } else {
    std::ifstream file(options.file);
    if (!file || std::filesystem::is_directory(options.file))
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("cannot read ", options.file))
          .Hint("name a YAML file with a job; recipes/ has examples");
    text << file.rdbuf();
  }
  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec,
                        ParseJobSpec(text.str(), source, RecipeDirs(options.file)));
  for (const std::string& assignment : options.sets)
    SEER_RETURN_IF_ERROR(ApplySet(spec, assignment));
  if (!options.name.empty()) spec.mutable_metadata()->set_name(options.name);
  FillDefaults(spec);
  SEER_RETURN_IF_ERROR(ValidateJobSpec(spec));
  return spec;
}

void AddSpecOptions(CLI::App& app, SpecOptions& options, bool required) {
  app.add_option("file", options.file, "YAML file with the job, or - for stdin")
      ->required(required);
  app.add_option("--set", options.sets, "KEY=VALUE over the file, may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--name", options.name, "The job's name");
}

}  // namespace seer::client
