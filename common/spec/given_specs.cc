#include "common/spec/given_specs.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/circle.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/spec/defaults.h"
#include "common/spec/validate.h"
#include "common/spec/yaml.h"

namespace seer {
namespace {

// Then it must be valid with its defaults.
absl::Status Apply(const SpecEdits& edits, v1::JobSpec& spec) {
  for (const std::string& assignment : edits.sets) SEER_RETURN_IF_ERROR(ApplySet(spec, assignment));
  if (!edits.name.empty()) spec.mutable_metadata()->set_name(edits.name);
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

}  // namespace

std::vector<std::string> ShippedRecipeDirs() {
  std::vector<std::string> dirs;
  if (const char* dir = std::getenv("SEER_RECIPES")) dirs.push_back(dir);
  std::error_code error;
  const auto binary = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  dirs.push_back((binary / "../share/seer/recipes").string());
  dirs.push_back((binary / "../../../recipes").string());  // a build folder of the source tree
  return dirs;
}

absl::StatusOr<v1::JobSpec> ReadGivenSpec(const SpecText& text, const SpecEdits& edits,
                                          const std::vector<std::string>& recipe_dirs) {
  SEER_ASSIGN_OR_RETURN(v1::JobSpec spec, ParseJobSpec(text.text, text.source, recipe_dirs));
  SEER_RETURN_IF_ERROR(Apply(edits, spec));
  return spec;
}

absl::StatusOr<std::vector<v1::JobSpec>> ReadGivenSpecs(
    const SpecText& text, const SpecEdits& edits, const std::vector<std::string>& recipe_dirs) {
  SEER_ASSIGN_OR_RETURN(std::vector<v1::JobSpec> specs,
                        ParseJobSpecs(text.text, text.source, recipe_dirs));
  if (specs.size() > 1 && !edits.name.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat(text.source, " has ", specs.size(), " jobs, and --name names one"))
        .Hint("write metadata.name of each into the file");
  }
  for (v1::JobSpec& spec : specs) SEER_RETURN_IF_ERROR(Apply(edits, spec));
  return InOrder(std::move(specs));
}

}  // namespace seer
