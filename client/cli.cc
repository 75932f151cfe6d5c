#include "client/cli.h"

#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/exit_code.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

absl::Status NoAddress(const char* what) {
  return Error(absl::StatusCode::kUnavailable, reason::kServiceUnreachable,
               absl::StrCat("no address of ", what, " is known"))
      .Hint(
          "`seer cluster up` starts a cluster on this machine; or name one with --coordinator and "
          "--dataservice");
}

void CollectNames(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
}

// "did you mean": the nearest verb of the deepest command that was understood.
std::string Suggestion(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.empty() || word[0] == '-') continue;
    std::vector<std::string> names;
    CollectNames(*at, names);
    if (names.empty()) return "";
    const CLI::App* next = nullptr;
    for (const CLI::App* command : at->get_subcommands(nullptr))
      if (command->get_name() == word) next = command;
    if (next == nullptr) return NearestKey(word, names);
    at = next;
  }
  return "";
}

void Complete(const std::string& shell, const CLI::App& app) {
  std::vector<std::string> nouns;
  CollectNames(app, nouns);
  std::string cases, all;
  for (const CLI::App* noun : app.get_subcommands(nullptr)) {
    std::vector<std::string> verbs;
    CollectNames(*noun, verbs);
    absl::StrAppend(&all, noun->get_name(), " ");
    std::string line;
    for (const std::string& verb : verbs) absl::StrAppend(&line, verb, " ");
    if (shell == "fish") {
      std::printf("complete -c seer -f -n __fish_use_subcommand -a %s\n", noun->get_name().c_str());
      if (!verbs.empty())
        std::printf("complete -c seer -f -n '__fish_seen_subcommand_from %s' -a '%s'\n",
                    noun->get_name().c_str(), line.c_str());
    } else if (!verbs.empty()) {
      absl::StrAppend(&cases, "    ", noun->get_name(), ") COMPREPLY=($(compgen -W '", line,
                      "' -- \"$word\")) ;;\n");
    }
  }
  if (shell == "fish") return;
  if (shell == "zsh") std::printf("autoload -U +X bashcompinit && bashcompinit\n");
  std::printf(
      "_seer() {\n  local word=${COMP_WORDS[COMP_CWORD]}\n  if [ \"$COMP_CWORD\" -eq 1 ]; then "
      "COMPREPLY=($(compgen -W '%s' -- \"$word\")); return; fi\n"
      "  if [ \"$COMP_CWORD\" -gt 2 ]; then COMPREPLY=($(compgen -f -- \"$word\")); return; fi\n  "
      "case ${COMP_WORDS[1]} in\n%s  esac\n}\ncomplete -F _seer seer\n",
      all.c_str(), cases.c_str());
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> Session::Coordinator() const {
  SEER_ASSIGN_OR_RETURN(const Context context, LoadContext(coordinator_flag, dataservice_flag));
  if (context.coordinator.empty()) return NoAddress("a coordinator");
  return MakeChannel({context.coordinator});
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Session::DataService() const {
  SEER_ASSIGN_OR_RETURN(const Context context, LoadContext(coordinator_flag, dataservice_flag));
  if (context.dataservice.empty()) return NoAddress("a data service");
  return MakeChannel(context.dataservice);
}

std::string NewRequestId() {
  absl::BitGen random;
  return absl::StrFormat("%016x%016x", absl::Uniform<uint64_t>(random),
                         absl::Uniform<uint64_t>(random));
}

int RunCli(int argc, char** argv) {
  signal(SIGPIPE, SIG_DFL);
  Interrupt interrupt;
  Session session;
  session.interrupt = &interrupt;
  CLI::App app{
      "Pre-trains RegNets with SwAV on pools of uncurated images: submits jobs, follows them, and "
      "looks after pools and clusters."};
  app.name("seer");
  app.set_version_flag("--version", SEER_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("-o,--output", session.form, "table, wide, json, jsonl, yaml or name")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, OutputForm>{{"table", OutputForm::kTable},
                                                                    {"wide", OutputForm::kWide},
                                                                    {"json", OutputForm::kJson},
                                                                    {"jsonl", OutputForm::kJsonl},
                                                                    {"yaml", OutputForm::kYaml},
                                                                    {"name", OutputForm::kName}}));
  app.add_option("--coordinator", session.coordinator_flag,
                 "HOST:PORT; default: of the current context");
  app.add_option("--dataservice", session.dataservice_flag,
                 "HOST:PORT, may be repeated; default: of the current context");
  AddJobCommands(app, session);
  AddCheckpointCommands(app, session);
  AddPoolCommands(app, session);
  AddEvalCommands(app, session);
  AddWorkerCommands(app, session);
  AddClusterCommands(app, session);
  std::string shell;
  CLI::App* completion = app.add_subcommand(
      "completion", "Print a completion script: eval \"$(seer completion bash)\"");
  completion->add_option("shell", shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&] { Complete(shell, app); });
  app.footer(
      "Examples:\n  seer cluster up\n  seer pool create photos && seer pool ingest photos "
      "~/Pictures\n  seer job submit recipes/digits-200mf.yaml --follow\n"
      "  seer job list -o json\n\nExit codes: 0 done, 1 error, 2 usage or invalid configuration, 3 "
      "interrupted (the job goes on), 4 not allowed,\n"
      "5 unreachable or too late, 6 conflict or quota; wait and --follow: 100 failed, 101 time up, "
      "102 not found, 103 cancelled");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    Note(absl::StrCat("error: ", error.what()));
    const std::string nearest = Suggestion(app, argc, argv);
    Note(nearest.empty() ? "hint: --help shows what can be said here"
                         : absl::StrCat("hint: did you mean '", nearest, "'?"));
    return kExitUsage;
  }
  return session.exit_code;
}

}  // namespace seer::client
