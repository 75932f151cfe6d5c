// seer recipe: list, show. What a job may extend or be submitted as.
#include "client/commands/recipe.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/exit_code.h"
#include "common/base/error.h"
#include "common/spec/given_specs.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

namespace fs = std::filesystem;

// Name -> file. Of two with the same name the folder that is searched first has it.
std::map<std::string, fs::path> Recipes() {
  std::map<std::string, fs::path> recipes;
  for (const std::string& dir : ShippedRecipeDirs()) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(dir, none))
      if (entry.path().extension() == ".yaml")
        recipes.emplace(entry.path().stem().string(), entry.path());
  }
  return recipes;
}

std::string Text(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// The comment at its beginning, up to the end of its first sentence.
std::string About(const fs::path& file) {
  std::istringstream lines(Text(file));
  std::string line, about;
  while (std::getline(lines, line) && line.rfind("#", 0) == 0) {
    const std::string text(absl::StripAsciiWhitespace(absl::StripPrefix(line, "#")));
    absl::StrAppend(&about, about.empty() ? "" : " ", text);
  }
  const size_t end = about.find(". ");
  return end == std::string::npos ? about : about.substr(0, end + 1);
}

int List(Session& session) {
  const std::map<std::string, fs::path> recipes = Recipes();
  if (session.form == OutputForm::kTable || session.form == OutputForm::kWide ||
      session.form == OutputForm::kName) {
    for (const auto& [name, file] : recipes) {
      if (session.form == OutputForm::kName) {
        std::printf("%s\n", name.c_str());
      } else {
        std::printf("%-20s %s\n", name.c_str(), About(file).c_str());
        if (session.form == OutputForm::kWide) std::printf("%-20s %s\n", "", file.c_str());
      }
    }
    return kExitOk;
  }
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const auto& [name, file] : recipes)
    all.push_back({{"name", name}, {"about", About(file)}, {"file", file.string()}});
  if (session.form == OutputForm::kYaml) {
    PrintYaml(all.dump());
  } else if (session.form == OutputForm::kJsonl) {
    for (const auto& recipe : all) std::printf("%s\n", recipe.dump().c_str());
  } else {
    std::printf("%s\n", all.dump(2).c_str());
  }
  return kExitOk;
}

int Show(const std::string& given) {
  const std::string name(absl::StripSuffix(absl::StripPrefix(given, "recipes/"), ".yaml"));
  const std::map<std::string, fs::path> recipes = Recipes();
  if (const auto it = recipes.find(name); it != recipes.end()) {
    std::printf("%s", Text(it->second).c_str());
    return kExitOk;
  }
  std::vector<std::string> names;
  for (const auto& [known, file] : recipes) names.push_back(known);
  const std::string nearest = NearestKey(name, names);
  return Fail(Error(absl::StatusCode::kInvalidArgument, reason::kUnknownRecipe,
                    absl::StrCat("there is no recipe '", name, "'"))
                  .Field("recipe")
                  .Hint(nearest.empty() ? absl::StrCat("one of ", absl::StrJoin(names, ", "))
                                        : absl::StrCat("did you mean '", nearest, "'?")));
}

}  // namespace

void AddRecipeCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("recipe", "Job specs to start from");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer recipe list");
  CLI::App* list = noun->add_subcommand("list", "List the recipes that came with this program");
  list->footer(
      "SEER_RECIPES names one more folder, which is searched first.\nExamples:\n  seer recipe "
      "list\n  seer recipe list -o json");
  list->callback([&session] { session.exit_code = List(session); });
  CLI::App* show = noun->add_subcommand("show", "Print one, to read or to copy");
  auto name = std::make_shared<std::string>();
  show->add_option("recipe", *name, "Its name, as `seer recipe list` shows it")->required();
  show->footer(
      "A job takes one over by `extends: recipes/NAME` and says what is different.\nExamples:\n  "
      "seer recipe show seer-128gf\n  seer recipe show digits-200mf > job.yaml");
  show->callback([&session, name] { session.exit_code = Show(*name); });
}

}  // namespace seer::client
