#include "client/completion.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace seer::client {
namespace {

constexpr char kForms[] = "table wide json jsonl yaml name";

std::vector<const CLI::App*> Commands(const CLI::App& app) { return app.get_subcommands(nullptr); }

std::vector<std::string> Names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : Commands(app)) names.push_back(command->get_name());
  return names;
}

// "--follow", "-f": of the command itself. All have --help; it is named once, with the global ones.
std::vector<std::string> Flags(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    if (option == app.get_help_ptr() && app.get_parent() != nullptr) continue;
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
  }
  return flags;
}

// One `case` a command: the words that may come next, and its flags.
void AppendCases(const CLI::App& app, const std::string& path, const std::string& global,
                 std::string& cases, std::vector<std::string>& paths) {
  const std::vector<std::string> flags = Flags(app);
  absl::StrAppend(&cases, "    '", path, "') words='", absl::StrJoin(Names(app), " "), "' flags='",
                  absl::StrJoin(flags, " "), path.empty() ? "" : absl::StrCat(" ", global),
                  "' ;;\n");
  for (const CLI::App* command : Commands(app)) {
    paths.push_back(absl::StrCat(path, path.empty() ? "" : " ", command->get_name()));
    AppendCases(*command, std::string(paths.back()), global, cases, paths);
  }
}

// zsh runs the same function through bashcompinit.
std::string Bash(const CLI::App& app) {
  std::string cases;
  std::vector<std::string> paths;
  AppendCases(app, "", absl::StrJoin(Flags(app), " "), cases, paths);
  return absl::StrCat(
      "_seer() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local at='' next words='' flags='' i\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    next=\"$at${at:+ }${COMP_WORDS[i]}\"\n"
      "    case '|",
      absl::StrJoin(paths, "|"),
      "|' in *\"|$next|\"*) at=$next ;; esac\n"
      "  done\n"
      "  case $at in\n",
      cases,
      "  esac\n"
      "  COMPREPLY=()\n"
      "  if [[ $previous == -o || $previous == --output ]]; then words='",
      kForms,
      "'\n"
      "  elif [[ $at == completion ]]; then words='bash zsh fish'\n"
      "  elif [[ $word == -* ]]; then words=$flags\n"
      "  elif [[ -z $words ]]; then\n"
      "    local IFS=$'\\n'\n"
      "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "}\n"
      "complete -o filenames -F _seer seer\n");
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

void AppendFishFlags(const CLI::App& app, const std::string& condition, std::string& script) {
  for (const CLI::Option* option : app.get_options()) {
    if (option == app.get_help_ptr() && app.get_parent() != nullptr) continue;
    if (option->get_lnames().empty() && option->get_snames().empty()) continue;
    absl::StrAppend(&script, "complete -c seer", condition.empty() ? "" : " -n ", condition);
    for (const std::string& name : option->get_lnames()) absl::StrAppend(&script, " -l ", name);
    for (const std::string& name : option->get_snames()) absl::StrAppend(&script, " -s ", name);
    if (option->get_items_expected_max() > 0) absl::StrAppend(&script, " -r");
    if (option->check_lname("output")) absl::StrAppend(&script, " -f -a ", Quoted(kForms));
    absl::StrAppend(&script, " -d ", Quoted(option->get_description()), "\n");
  }
}

std::string Fish(const CLI::App& app) {
  std::string script;
  AppendFishFlags(app, "", script);
  const std::string nouns = absl::StrJoin(Names(app), " ");
  for (const CLI::App* noun : Commands(app)) {
    const std::string& name = noun->get_name();
    absl::StrAppend(&script, "complete -c seer -f -n __fish_use_subcommand -a ", name, " -d ",
                    Quoted(noun->get_description()), "\n");
    // The first word decides: `seer submit` is not `seer job submit`.
    const std::string here =
        absl::StrCat("string match -qr \"^seer +", name, "\\b\" -- (commandline -pc)");
    if (name == "completion") {
      absl::StrAppend(&script, "complete -c seer -f -n ", Quoted(here), " -a 'bash zsh fish'\n");
      continue;
    }
    AppendFishFlags(*noun, Quoted(here), script);
    const std::string verbs = absl::StrJoin(Names(*noun), " ");
    for (const CLI::App* verb : Commands(*noun)) {
      absl::StrAppend(&script, "complete -c seer -f -n ",
                      Quoted(absl::StrCat(here, "; and not __fish_seen_subcommand_from ", verbs)),
                      " -a ", verb->get_name(), " -d ", Quoted(verb->get_description()), "\n");
      AppendFishFlags(
          *verb, Quoted(absl::StrCat(here, "; and __fish_seen_subcommand_from ", verb->get_name())),
          script);
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const std::string& shell, const CLI::App& app) {
  if (shell == "fish") return Fish(app);
  return absl::StrCat(shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "",
                      Bash(app));
}

}  // namespace seer::client
