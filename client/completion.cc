#include "client/completion.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/completion_values.h"

namespace seer::client {
namespace {

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

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::vector<std::string> FlagsOf(const CLI::Option& option) {
  std::vector<std::string> flags;
  for (const std::string& name : option.get_lnames()) flags.push_back("--" + name);
  for (const std::string& name : option.get_snames()) flags.push_back("-" + name);
  return flags;
}

// Of a script: what is offered for a value or an argument.
std::string Assignment(const CompletionValue& value) {
  return value.kind.empty() ? absl::StrCat("words='", value.words, "'")
                            : absl::StrCat("kind=", value.kind);
}

struct BashCases {
  std::string commands;   // a line a command: the words that may come next, and its flags
  std::string values;     // a line an option with a value
  std::string arguments;  // a line an argument, by its place; the last one may be repeated
  std::vector<std::string> paths;
};

void AppendCases(const CLI::App& app, const std::string& path, const std::string& global,
                 BashCases& cases) {
  absl::StrAppend(&cases.commands, "    '", path, "') words='", absl::StrJoin(Names(app), " "),
                  "' flags='", absl::StrJoin(Flags(app), " "),
                  path.empty() ? "" : absl::StrCat(" ", global), "' ;;\n");
  int place = 0;
  std::vector<const CLI::Option*> arguments;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) arguments.push_back(option);
    if (option->get_positional() || !TakesValue(*option)) continue;
    std::vector<std::string> patterns;
    for (const std::string& flag : FlagsOf(*option))
      patterns.push_back(absl::StrCat(path.empty() ? "*" : "", "'", path, " ", flag, "'"));
    absl::StrAppend(&cases.values, "    ", absl::StrJoin(patterns, "|"), ") ",
                    Assignment(ValueOf(path, *option)), " ;;\n");
  }
  for (const CLI::Option* argument : arguments) {
    const bool last = argument == arguments.back();
    absl::StrAppend(&cases.arguments, "    '", path, " '",
                    last && argument->get_items_expected_max() > 1 ? "*" : absl::StrCat(place),
                    ") ", Assignment(ValueOf(path, *argument)), " ;;\n");
    ++place;
  }
  for (const CLI::App* command : Commands(app)) {
    const std::string below = absl::StrCat(path, path.empty() ? "" : " ", command->get_name());
    cases.paths.push_back(below);
    AppendCases(*command, below, global, cases);
  }
}

// zsh runs the same functions through bashcompinit. Names come from the cluster that the command
// line means; one that does not answer in a second has none. Commands' values go before those of
// global options, which match at any command.
std::string Bash(const CLI::App& app) {
  BashCases cases;
  AppendCases(app, "", absl::StrJoin(Flags(app), " "), cases);
  const size_t commands = cases.values.find("    '");  // behind the lines of global options
  const std::string values =
      absl::StrCat(cases.values.substr(commands), cases.values.substr(0, commands));
  return absl::StrCat(
      "_seer_names() {\n"
      "  local IFS=$' \\t\\n' kind=$1\n"
      "  shift\n"
      "  [[ $kind == token ]] && kind='auth token'\n"
      "  local name names=$(timeout 1 \"$@\" $kind list -o name 2>/dev/null)\n"
      "  while read -r name; do\n"
      "    [[ $kind == checkpoint ]] || name=${name##*/}\n"
      "    [[ -n $name && $name != *[!A-Za-z0-9._/-]* ]] && echo \"$name\"\n"
      "  done <<< \"$names\"\n"
      "}\n"
      "_seer() {\n"
      "  local -a said=()\n"  // bash cuts words at ':', as in HOST:PORT
      "  local n=-1 i\n"
      "  for ((i = 0; i <= COMP_CWORD; ++i)); do\n"
      "    if ((n > 0)) && [[ ${COMP_WORDS[i]} == :* || ${said[n]} == *: ]]; then\n"
      "      said[n]+=${COMP_WORDS[i]}\n"
      "    else\n"
      "      n=$((n + 1))\n"
      "      said[n]=${COMP_WORDS[i]}\n"
      "    fi\n"
      "  done\n"
      "  local word=${said[n]} previous=${said[n-1]}\n"
      "  local at='' next words='' flags='' kind='' option='' place=0\n"
      "  local cluster=(\"${said[0]}\")\n"
      "  if [[ $word == '=' ]]; then word=''\n"
      "  elif [[ $previous == '=' ]]; then previous=${said[n-2]}\n"
      "  fi\n"
      "  for ((i = 1; i < n; ++i)); do\n"
      "    [[ ${said[i]} == '=' ]] && continue\n"
      "    if [[ -n $option ]]; then\n"
      "      case $option in --context|--coordinator|--dataservice|--tls-*|--token-file)\n"
      "        cluster+=(\"$option\" \"${said[i]}\") ;;\n"
      "      esac\n"
      "      option=''\n"
      "      continue\n"
      "    fi\n"
      "    next=\"$at${at:+ }${said[i]}\"\n"
      "    case '|",
      absl::StrJoin(cases.paths, "|"),
      "|' in *\"|$next|\"*) at=$next place=0; continue ;; esac\n"
      "    case \"$at ${said[i]}\" in\n",
      absl::StrReplaceAll(values,
                          {{"kind=", ": "}, {"words=", ": "}, {" ;;", "; option=${said[i]} ;;"}}),
      "    *' -'*) ;;\n"
      "    *) place=$((place + 1)) ;;\n"
      "    esac\n"
      "  done\n"
      "  case $at in\n",
      cases.commands,
      "  esac\n"
      "  if [[ -n $option ]]; then\n"
      "    words=''\n"
      "    case \"$at $previous\" in\n",
      values,
      "    esac\n"
      "  elif [[ $word == -* ]]; then words=$flags\n"
      "  elif [[ -z $words ]]; then\n"
      "    case \"$at $place\" in\n",
      cases.arguments,
      "    esac\n"
      "  fi\n"
      "  local IFS=$'\\n'\n"
      "  COMPREPLY=()\n"
      "  case $kind in\n"
      "    file) compopt -o filenames 2>/dev/null\n"
      "      COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "      return ;;\n"
      "    '') words=${words// /$'\\n'} ;;\n"
      "    none) words='' ;;\n"
      "    *) words=$(_seer_names \"$kind\" \"${cluster[@]}\") ;;\n"
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "}\n"
      "complete -F _seer seer\n");
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// What fish takes after -a, and whether files are offered besides.
std::string FishValues(const CompletionValue& value) {
  if (value.kind == "file") return "";
  if (value.kind == "none") return " -f";
  return absl::StrCat(
      " -f -a ",
      Quoted(value.kind.empty() ? value.words : absl::StrCat("(__seer_names ", value.kind, ")")));
}

void AppendFishFlags(const CLI::App& app, const std::string& path, const std::string& condition,
                     std::string& script) {
  for (const CLI::Option* option : app.get_options()) {
    if (option == app.get_help_ptr() && app.get_parent() != nullptr) continue;
    if (option->get_lnames().empty() && option->get_snames().empty()) continue;
    absl::StrAppend(&script, "complete -c seer", condition.empty() ? "" : " -n ", condition);
    for (const std::string& name : option->get_lnames()) absl::StrAppend(&script, " -l ", name);
    for (const std::string& name : option->get_snames()) absl::StrAppend(&script, " -s ", name);
    if (TakesValue(*option)) absl::StrAppend(&script, " -r", FishValues(ValueOf(path, *option)));
    absl::StrAppend(&script, " -d ", Quoted(option->get_description()), "\n");
  }
}

// Its first argument; without one, or with a name to be made, files are not offered either.
void AppendFishArgument(const CLI::App& app, const std::string& path, const std::string& condition,
                        std::string& script) {
  if (!Commands(app).empty()) return;
  CompletionValue value{"", "none"};
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    value = ValueOf(path, *option);
    break;
  }
  if (value.kind == "file") return;
  absl::StrAppend(&script, "complete -c seer -n ", condition, FishValues(value), "\n");
}

std::string Fish(const CLI::App& app) {
  std::string script =
      "function __seer_names\n"
      "  set -l kind $argv[1]\n"
      "  test $kind = token; and set kind auth token\n"
      "  set -l names (timeout 1 seer $kind list -o name 2>/dev/null)\n"
      "  if test \"$kind\" = checkpoint\n"
      "    printf '%s\\n' $names\n"
      "  else\n"
      "    string replace -r '.*/' '' -- $names\n"
      "  end\n"
      "end\n";
  AppendFishFlags(app, "", "", script);
  const std::string nouns = absl::StrJoin(Names(app), " ");
  for (const CLI::App* noun : Commands(app)) {
    const std::string& name = noun->get_name();
    absl::StrAppend(&script, "complete -c seer -f -n __fish_use_subcommand -a ", name, " -d ",
                    Quoted(noun->get_description()), "\n");
    // The first word decides: `seer submit` is not `seer job submit`.
    const std::string here =
        absl::StrCat("string match -qr \"^seer +", name, "\\b\" -- (commandline -pc)");
    AppendFishFlags(*noun, name, Quoted(here), script);
    AppendFishArgument(*noun, name, Quoted(here), script);
    const std::string verbs = absl::StrJoin(Names(*noun), " ");
    for (const CLI::App* verb : Commands(*noun)) {
      absl::StrAppend(&script, "complete -c seer -f -n ",
                      Quoted(absl::StrCat(here, "; and not __fish_seen_subcommand_from ", verbs)),
                      " -a ", verb->get_name(), " -d ", Quoted(verb->get_description()), "\n");
      const std::string there =
          Quoted(absl::StrCat(here, "; and __fish_seen_subcommand_from ", verb->get_name()));
      const std::string path = absl::StrCat(name, " ", verb->get_name());
      AppendFishFlags(*verb, path, there, script);
      AppendFishArgument(*verb, path, there, script);
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
