#include "client/commands/spec_file.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/circle.h"
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

struct SpecText {
  std::string text, source;
};

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

// --set over what the file says; then it must be valid with its defaults.
absl::Status Finish(const SpecOptions& options, v1::JobSpec& spec) {
  for (const std::string& assignment : options.sets)
    SEER_RETURN_IF_ERROR(ApplySet(spec, assignment));
  if (!options.name.empty()) spec.mutable_metadata()->set_name(options.name);
  v1::JobSpec complete = spec;
  FillDefaults(complete);
  return ValidateJobSpec(complete);
}

// Where each name stands.
absl::StatusOr<std::map<std::string, size_t>> NamesOf(const std::vector<v1::JobSpec>& specs) {
  std::map<std::string, size_t> names;
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::string& name = specs[i].metadata().name();
    if (name.empty() || names.emplace(name, i).second) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kJobNameTaken,
                 absl::StrCat("two jobs of the file are called '", name, "'"))
        .Field("metadata.name")
        .Hint("give each a name of its own");
  }
  return names;
}

}  // namespace

absl::StatusOr<v1::JobSpec> ReadGivenSpec(const SpecOptions& options) {
  SEER_ASSIGN_OR_RETURN(const SpecText text, ReadText(options.file));
  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec,
                        ParseJobSpec(text.text, text.source, RecipeDirs(options.file)));
  SEER_RETURN_IF_ERROR(Finish(options, spec));
  return spec;
}

absl::StatusOr<v1::JobSpec> ReadSpec(const SpecOptions& options) {
  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec, ReadGivenSpec(options));
  FillDefaults(spec);
  return spec;
}

absl::StatusOr<std::vector<v1::JobSpec>> ReadGivenSpecs(const SpecOptions& options) {
  SEER_ASSIGN_OR_RETURN(const SpecText text, ReadText(options.file));
  SEER_ASSIGN_OR_RETURN(std::vector<v1::JobSpec> specs,
                        ParseJobSpecs(text.text, text.source, RecipeDirs(options.file)));
  if (specs.size() > 1 && !options.name.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat(text.source, " has ", specs.size(), " jobs, and --name names one"))
        .Hint("write metadata.name of each into the file");
  }
  for (v1::JobSpec& spec : specs) SEER_RETURN_IF_ERROR(Finish(options, spec));
  return InOrder(std::move(specs));
}

absl::StatusOr<std::vector<v1::JobSpec>> InOrder(std::vector<v1::JobSpec> specs) {
  SEER_ASSIGN_OR_RETURN(const auto names, NamesOf(specs));
  const auto next = [&](const std::string& name) {
    std::vector<std::string> others;
    for (const v1::AfterSpec& after : specs[names.at(name)].chain().after()) {
      const std::string other(absl::StripPrefix(after.job(), "jobs/"));
      if (names.contains(other)) others.push_back(other);
    }
    return others;
  };
  for (const auto& [name, at] : names) {
    const std::vector<std::string> circle = FindCircle(name, next);
    if (circle.empty()) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kCircularChain,
                 absl::StrCat("jobs of the file wait for each other: ",
                              absl::StrJoin(circle, " -> ")))
        .Field("chain.after")
        .Hint("take one of these links out");
  }
  // In the order of the file, but that what a job waits for goes before it.
  std::vector<v1::JobSpec> ordered;
  std::set<std::string> placed;
  while (!specs.empty()) {
    const auto ready = std::find_if(specs.begin(), specs.end(), [&](const v1::JobSpec& spec) {
      return std::all_of(spec.chain().after().begin(), spec.chain().after().end(),
                         [&](const v1::AfterSpec& after) {
                           const std::string other(absl::StripPrefix(after.job(), "jobs/"));
                           return !names.contains(other) || placed.contains(other);
                         });
    });
    placed.insert(ready->metadata().name());
    ordered.push_back(std::move(*ready));
    specs.erase(ready);
  }
  return ordered;
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
