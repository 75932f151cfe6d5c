#include "client/cli.h"

#include <grpc/support/log.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/commands/api.h"
#include "client/commands/auth.h"
#include "client/commands/context.h"
#include "client/commands/man.h"
#include "client/commands/recipe.h"
#include "client/commands/schedule.h"
#include "client/commands/sweep.h"
#include "client/completion.h"
#include "client/exit_code.h"
#include "common/base/address.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/flags/choice.h"
#include "common/otlp/telemetry.h"
#include "common/rpc/channel.h"
#include "common/rpc/security_flags.h"
#include "common/spec/yaml.h"
#include "common/trace/tracer.h"

namespace seer::client {
namespace {

// About 20 s: a standby leads within 10.
constexpr int kAttemptsForATakeover = 13;

absl::Status NoAddress(const char* what) {
  return Error(absl::StatusCode::kUnavailable, reason::kServiceUnreachable,
               absl::StrCat("no address of ", what, " is known"))
      .Hint(
          "`seer cluster up` starts a cluster on this machine; or name one with --coordinator and "
          "--dataservice");
}

std::vector<std::string> Names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands(nullptr)) names.push_back(command->get_name());
  return names;
}

// The word after `-o` and the like is no command.
bool IsValue(const CLI::App& app, const std::string& before) {
  const CLI::Option* option = before[0] == '-' ? app.get_option_no_throw(before) : nullptr;
  return option != nullptr && option->get_items_expected_max() > 0;
}

std::string FirstClause(const std::string& text) {
  return text.substr(0, std::min(text.find("; "), text.find(". ")));
}

// Flags that are the program's, but that are said behind a verb as well, are named in its help.
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_footer(const CLI::App* app) const override {
    const bool verb = app->get_parent() != nullptr && app->get_subcommands(nullptr).empty();
    return absl::StrCat(
        CLI::Formatter::make_footer(app),
        verb ? "\nGlobal flags: -o table|wide|json|jsonl|yaml|name, --coordinator HOST:PORT, "
               "--dataservice HOST:PORT, --token-file FILE;\n`seer --help` has all of them\n"
             : "");
  }
};

// What to say about a command line that CLI11 refused: it does not name a verb that is not there.
struct Misused {
  std::string message, hint;
};
Misused Explain(const CLI::App& app, const CLI::ParseError& error, int argc,
                const char* const* argv) {
  const CLI::App* at = &app;
  std::string path = "seer";
  std::vector<std::string> names = Names(*at);
  for (int i = 1; i < argc && !names.empty(); ++i) {
    const std::string word = argv[i];
    if (word.empty() || word[0] == '-' || IsValue(app, argv[i - 1])) continue;
    const CLI::App* next = nullptr;
    for (const CLI::App* command : at->get_subcommands(nullptr))
      if (command->get_name() == word) next = command;
    if (next == nullptr) {
      const std::string nearest = NearestKey(word, names);
      return {absl::StrCat("there is no '", path, " ", word, "'"),
              nearest.empty() ? absl::StrCat("one of ", absl::StrJoin(names, ", "))
                              : absl::StrCat("did you mean '", nearest, "'?")};
    }
    at = next;
    absl::StrAppend(&path, " ", word);
    names = Names(*at);
  }
  if (!names.empty())
    return {absl::StrCat("'", path, "' needs a verb"),
            absl::StrCat("one of ", absl::StrJoin(names, ", "))};
  const std::string help = absl::StrCat("`", path, " --help` shows what can be said here");
  if (error.get_name() == "RequiredError") {
    for (const CLI::Option* option : at->get_options())
      if (option->get_positional() && option->get_required() && option->empty())
        return {absl::StrCat("'", path, "' needs ", option->get_name(), ": ",
                             FirstClause(option->get_description())),
                help};
  }
  return {error.what(), help};
}

// The command as a span, from which a job's trace begins; where the environment names no receiver,
// nothing.
class CommandTrace {
 public:
  CommandTrace() {
    auto started =
        Telemetry::Start({.service = "seer", .logs = false, .flush_limit = absl::Seconds(2)});
    if (started.ok()) {
      telemetry_ = *std::move(started);
    } else {
      Note(absl::StrCat("warning: no trace is sent: ", StatusText(started.status())));
    }
    if (Tracing()) span_ = Span::Begin("seer", SpanKind::kInternal, {});
    within_.emplace(span_.context());
  }
  ~CommandTrace() { span_.Discard(); }  // of what was no command, as --help
  // `app` was parsed, and its command has run.
  void End(const CLI::App& app, int exit_code) {
    std::string name = "seer";
    for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
      at = at->get_subcommands().front();
      absl::StrAppend(&name, " ", at->get_name());
    }
    span_.Rename(name);
    span_.Set("process.exit.code", int64_t{exit_code});
    if (exit_code != 0) span_.Fail(absl::StrCat("exit code ", exit_code));
    span_.End();
    if (telemetry_ == nullptr) return;
    const absl::Status sent = telemetry_->Stop();
    if (!sent.ok()) Note(absl::StrCat("warning: the trace was not sent: ", sent.message()));
  }

 private:
  std::unique_ptr<Telemetry> telemetry_;  // null: what the environment says cannot be read
  Span span_;
  std::optional<WithinTrace> within_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> SecureChannel(
    const Context& context, const std::vector<std::string>& addresses) {
  SEER_RETURN_IF_ERROR(CheckTokenIsSafe(context.security, addresses));
  SEER_ASSIGN_OR_RETURN(const auto security, ClientSecurity::Open(context.security));
  return MakeChannel(addresses, security);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Session::Coordinator() {
  SEER_ASSIGN_OR_RETURN(const Context context, LoadContext(flags));
  const std::vector<std::string> addresses = SplitAddresses(context.coordinator);
  if (addresses.empty()) return NoAddress("a coordinator");
  SEER_RETURN_IF_ERROR(CheckAddresses("--coordinator", addresses));
  coordinators = static_cast<int>(addresses.size());
  return SecureChannel(context, addresses);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Session::DataService() const {
  SEER_ASSIGN_OR_RETURN(const Context context, LoadContext(flags));
  if (context.dataservice.empty()) return NoAddress("a data service");
  SEER_RETURN_IF_ERROR(CheckAddresses("--dataservice", context.dataservice));
  return SecureChannel(context, context.dataservice);
}

std::string NewRequestId() {
  absl::BitGen random;
  return absl::StrFormat("%016x%016x", absl::Uniform<uint64_t>(random),
                         absl::Uniform<uint64_t>(random));
}

absl::Status Session::Call(const std::string& what,
                           const std::function<absl::Status(grpc::ClientContext&)>& call,
                           absl::Duration deadline) const {
  RetryOptions options;
  options.deadline = deadline;
  if (coordinators > 1) options.attempts = kAttemptsForATakeover;
  const absl::Status status = CallWithRetry(options, what, [&](grpc::ClientContext& context) {
    Interrupt::Scope scope(*interrupt, context);
    return call(context);
  });
  return !status.ok() && interrupt->caught() ? absl::CancelledError("interrupted") : status;
}

void BuildCommandTree(CLI::App& app, Session& session) {
  app.name("seer");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", SEER_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  AddChoice<OutputForm>(app, "-o,--output", session.form,
                        {{"table", OutputForm::kTable},
                         {"wide", OutputForm::kWide},
                         {"json", OutputForm::kJson},
                         {"jsonl", OutputForm::kJsonl},
                         {"yaml", OutputForm::kYaml},
                         {"name", OutputForm::kName}},
                        "Form of what is printed [table]");
  app.add_option(
      "--coordinator", session.flags.coordinator,
      "HOST:PORT, of several coordinators all with commas: the one that leads is asked; default: "
      "of the current context");
  app.add_option("--context", session.flags.context,
                 "Context to go by, as `seer context list` names it; default: SEER_CONTEXT, or the "
                 "current one");
  app.add_option("--dataservice", session.flags.dataservice,
                 "HOST:PORT, may be repeated; default: of the current context");
  AddSecurityFlags(app, SecurityRole::kClient, session.flags.security);
  AddJobCommands(app, session);
  AddCheckpointCommands(app, session);
  AddPoolCommands(app, session);
  AddEvalCommands(app, session);
  AddWorkerCommands(app, session);
  AddQueueCommands(app, session);
  AddSweepCommands(app, session);
  AddScheduleCommands(app, session);
  AddRecipeCommands(app, session);
  AddClusterCommands(app, session);
  AddApiCommands(app, session);
  AddAuthCommands(app, session);
  AddContextCommands(app, session);
  auto shell = std::make_shared<std::string>();
  CLI::App* completion = app.add_subcommand("completion", "Print a completion script for a shell");
  AddWord(*completion, "shell", *shell, {"bash", "zsh", "fish"}, "bash, zsh or fish")->required();
  completion->footer(
      "Examples:\n  eval \"$(seer completion bash)\"\n  eval \"$(seer completion zsh)\"\n  "
      "seer completion fish | source");
  completion->callback([&app, shell] { std::cout << CompletionScript(*shell, app); });
  AddMan(app, session);
  app.footer(
      "Examples:\n  seer cluster up\n  seer pool create photos && seer pool ingest photos "
      "~/Pictures\n  seer job submit recipes/digits-200mf.yaml --follow\n"
      "  seer job list -o json\n\nExit codes: 0 done, 1 error, 2 usage or invalid configuration, 3 "
      "interrupted (the job goes on), 4 not allowed,\n"
      "5 unreachable or too late, 6 conflict or quota; wait and --follow: 100 failed, 101 time up, "
      "102 not found, 103 cancelled, 104 preempted for good");
}

namespace {

// Names of resources, paths and texts all go into protobuf strings, which are UTF-8.
absl::Status CheckUtf8(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const absl::string_view word = argv[i];
    if (ValidUtf8Length(word) == word.size()) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("argument ", i, ", '", ToValidUtf8(word), "', is not UTF-8"))
        .Hint("write it in UTF-8: look at the terminal's encoding, or rename the file");
  }
  return absl::OkStatus();
}

int Run(int argc, const char* const* argv) {
  if (const absl::Status readable = CheckUtf8(argc, argv); !readable.ok()) return Fail(readable);
  Interrupt interrupt;
  Session session;
  session.interrupt = &interrupt;
  CLI::App app{
      "Pre-trains RegNets with SwAV on pools of uncurated images: submits jobs, follows them, and "
      "looks after pools and clusters."};
  BuildCommandTree(app, session);
  CommandTrace trace;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    const Misused misused = Explain(app, error, argc, argv);
    Note(absl::StrCat("error: ", misused.message));
    Note(absl::StrCat("hint: ", misused.hint));
    return kExitUsage;
  }
  trace.End(app, session.exit_code);
  return session.exit_code;
}

}  // namespace

int RunCli(int argc, const char* const* argv) {
  signal(SIGPIPE, SIG_DFL);
  // What fails is said by the command itself; gRPC's own lines are for those who ask for them.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
  const int exit_code = Run(argc, argv);
  const absl::Status written = FlushOutput();
  if (written.ok()) return exit_code;
  const int failed = Fail(written);
  return exit_code == kExitOk ? failed : exit_code;
}

}  // namespace seer::client
