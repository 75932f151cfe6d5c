// seer sweep: create, list, describe, cancel.
#include "client/commands/sweep.h"

#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/commands/job.h"
#include "client/commands/spec_file.h"
#include "client/confirm.h"
#include "client/coordinator_call.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "client/sweep_parameter.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/flags/number.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/sweep.h"
#include "common/spec/yaml.h"
#include "seer/v1/sweeps.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

const v1::Sweep& As(const Message& m) { return static_cast<const v1::Sweep&>(m); }
const v1::SweepTrial& AsTrial(const Message& m) { return static_cast<const v1::SweepTrial&>(m); }

std::string NameOf(const v1::Sweep& sweep) {
  return std::string(absl::StripPrefix(sweep.name(), "sweeps/"));
}
std::string SweepStateOf(const v1::Sweep& sweep) {
  return EnumName(v1::SweepState_Name(sweep.state()), "SWEEP_STATE_");
}
std::string BudgetOf(const v1::Sweep& sweep) {
  return absl::StrCat(FormatSeconds(sweep.used_device_seconds()),
                      sweep.budget_device_seconds() > 0
                          ? absl::StrCat(" of ", FormatSeconds(sweep.budget_device_seconds()))
                          : "");
}
std::string ValuesOf(const v1::SweepTrial& trial) {
  const std::map<std::string, std::string> values(trial.values().begin(), trial.values().end());
  return absl::StrJoin(values, " ", absl::PairFormatter("="));
}

const std::vector<Column>& TrialColumns() {
  static const auto& columns = *new std::vector<Column>{
      {"TRIAL", [](const Message& m) { return absl::StrCat(AsTrial(m).number()); }},
      {"JOB",
       [](const Message& m) { return AsTrial(m).job().empty() ? "-" : ShortId(AsTrial(m).job()); }},
      {"STATE",
       [](const Message& m) {
         return AsTrial(m).job().empty()
                    ? std::string("REFUSED")
                    : EnumName(v1::JobState_Name(AsTrial(m).state()), "JOB_STATE_");
       }},
      {"LOSS",
       [](const Message& m) {
         return AsTrial(m).loss() == 0 ? std::string("-")
                                       : absl::StrFormat("%.4f", AsTrial(m).loss());
       }},
      {"DEVICE TIME", [](const Message& m) { return FormatSeconds(AsTrial(m).device_seconds()); }},
      {"VALUES", [](const Message& m) { return ValuesOf(AsTrial(m)); }},
      {"MESSAGE", [](const Message& m) { return AsTrial(m).message(); }, true}};
  return columns;
}

// The best loss first; those without one behind them, by number.
std::vector<const Message*> ByLoss(const v1::Sweep& sweep) {
  std::vector<const v1::SweepTrial*> trials;
  for (const v1::SweepTrial& trial : sweep.results()) trials.push_back(&trial);
  const auto place = [](const v1::SweepTrial* trial) {
    const double loss = trial->loss();
    return std::pair(loss == 0 || loss != loss, loss == loss ? loss : 0.0);
  };
  std::stable_sort(trials.begin(), trials.end(),
                   [&](const auto* a, const auto* b) { return place(a) < place(b); });
  return {trials.begin(), trials.end()};
}

int Print(const Session& session, const v1::Sweep& sweep) {
  PrintOne(session.form, sweep,
           {{"Sweep", NameOf(sweep)},
            {"State", SweepStateOf(sweep)},
            {"Message", sweep.state_message()},
            {"Trials", absl::StrCat(sweep.results_size(), " of ", sweep.trials(), " made, at most ",
                                    sweep.parallel(), " at a time")},
            {"Device time", BudgetOf(sweep)},
            {"Created", FormatTime(sweep.create_time())},
            {"Ended", FormatTime(sweep.end_time())}});
  if (session.form == OutputForm::kTable || session.form == OutputForm::kWide)
    PrintList(session.form, ByLoss(sweep), TrialColumns());
  return kExitOk;
}

template <typename Request>
int CallAndPrint(Session& session,
                 grpc::Status (v1::Sweeps::Stub::*method)(grpc::ClientContext*, const Request&,
                                                          v1::Sweep*),
                 const Request& request) {
  const auto sweep = CallCoordinator<v1::Sweeps>(session, method, request);
  return sweep.ok() ? Print(session, *sweep) : Fail(sweep.status());
}

int List(Session& session) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Sweeps::NewStub(*channel);
  v1::ListSweepsRequest request;
  const auto sweeps =
      FetchPages<v1::Sweep>(session, "the coordinator", *stub, &v1::Sweeps::Stub::ListSweeps,
                            request, &v1::ListSweepsResponse::sweeps);
  if (!sweeps.ok()) return Fail(sweeps.status());
  std::vector<const Message*> items;
  for (const auto& sweep : *sweeps) items.push_back(&sweep);
  PrintList(session.form, items,
            {{"NAME", [](const Message& m) { return NameOf(As(m)); }},
             {"STATE", [](const Message& m) { return SweepStateOf(As(m)); }},
             {"TRIALS", [](const Message& m) { return absl::StrCat(As(m).trials()); }},
             {"DEVICE TIME", [](const Message& m) { return BudgetOf(As(m)); }},
             {"AGE", [](const Message& m) { return FormatAge(As(m).create_time()); }},
             {"MESSAGE", [](const Message& m) { return As(m).state_message(); }, true}});
  return kExitOk;
}

struct SweepOptions {
  SpecOptions spec;
  std::vector<std::string> parameters;
  int random = 0, parallel = 0;
  std::string budget;
  uint64_t seed = 0;
  bool dry_run = false, yes = false;
};

absl::StatusOr<v1::Sweep> Read(const SweepOptions& options) {
  v1::Sweep sweep;
  SpecOptions file = options.spec;
  file.name.clear();  // it is the sweep's
  SEER_ASSIGN_OR_RETURN(*sweep.mutable_spec(), ReadGivenSpec(file));
  std::string name = options.spec.name;
  if (name.empty()) name = sweep.spec().metadata().name();
  if (name.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "the sweep has no name")
        .Field("--name")
        .Hint("say --name NAME, or set metadata.name in the file");
  }
  sweep.mutable_spec()->mutable_metadata()->clear_name();
  sweep.set_name(absl::StrCat("sweeps/", name));
  for (const std::string& text : options.parameters) {
    SEER_ASSIGN_OR_RETURN(*sweep.add_parameters(), ReadSweepParameter(text));
  }
  sweep.set_search(options.random > 0 ? v1::SWEEP_SEARCH_RANDOM : v1::SWEEP_SEARCH_GRID);
  sweep.set_trials(options.random);
  sweep.set_parallel(options.parallel);
  sweep.set_seed(options.seed);
  if (!options.budget.empty()) {
    SEER_ASSIGN_OR_RETURN(const absl::Duration budget,
                          ReadDurationFlag("--budget", options.budget, kAboveZero));
    sweep.set_budget_device_seconds(absl::ToDoubleSeconds(budget));
  }
  return CompleteSweep(sweep);
}

// What would be submitted: the trials with their values.
void PrintTrials(OutputForm form, const v1::Sweep& sweep) {
  std::vector<v1::SweepTrial> trials(static_cast<size_t>(sweep.trials()));
  std::vector<const Message*> items;
  for (int number = 1; number <= sweep.trials(); ++number) {
    v1::SweepTrial& trial = trials[static_cast<size_t>(number - 1)];
    trial.set_number(number);
    for (const auto& [field, value] : TrialValues(sweep, number))
      (*trial.mutable_values())[field] = value;
    items.push_back(&trial);
  }
  if (IsDocument(form)) return PrintList(form, items, {});
  for (const v1::SweepTrial& trial : trials)
    std::printf("%d  %s\n", trial.number(), ValuesOf(trial).c_str());
}

int Create(Session& session, const SweepOptions& options) {
  const auto sweep = Read(options);
  if (!sweep.ok()) return Fail(sweep.status());
  if (options.dry_run) {
    PrintTrials(session.form, *sweep);
    return kExitOk;
  }
  v1::CreateSweepRequest request;
  *request.mutable_sweep() = *sweep;
  request.set_request_id(NewRequestId());
  return CallAndPrint(session, &v1::Sweeps::Stub::CreateSweep, request);
}

void AddCreate(CLI::App& parent, Session& session) {
  auto options = std::make_shared<SweepOptions>();
  CLI::App* command =
      parent.add_subcommand("create", "Submit a job for each of many values of some fields");
  AddSpecOptions(*command, options->spec, {.named = "sweep"});
  command
      ->add_option("--param", options->parameters,
                   "FIELD=VALUE,VALUE,... or, with --random, FIELD=MIN..MAX, with :log for uniform "
                   "in the logarithm and :int for whole numbers; may be repeated")
      ->required()
      ->take_all()
      ->allow_extra_args(false);
  command
      ->add_option("--random", options->random,
                   "Draw so many trials; without it all combinations are tried")
      ->check(AtLeast(1));
  command->add_option("--parallel", options->parallel, "Trials at a time; default 4")
      ->check(AtLeast(1));
  command->add_option("--budget", options->budget,
                      "Device time of all trials together, as 12h: what then runs is cancelled");
  command->add_option("--seed", options->seed, "Of the draws");
  command->add_flag("--dry-run", options->dry_run, "Print the trials' values; submit nothing");
  command->footer(
      "Examples:\n  seer sweep create job.yaml --name rates --param optim.lr=0.1,0.3\n  seer sweep "
      "create job.yaml --name search --param optim.lr=0.01..1:log --param "
      "loss.swav.temperature=0.05..0.2 --random 20 --parallel 4 --budget 12h");
  command->callback([&session, options] { session.exit_code = Create(session, *options); });
}

void AddDescribeSweep(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      parent.add_subcommand("describe", "Show a sweep's trials, the best loss first");
  command->add_option("name", *name, "Of the sweep")->required();
  command->footer("Example:\n  seer sweep describe rates");
  command->callback([&session, name] {
    v1::GetSweepRequest request;
    request.set_name(*name);
    session.exit_code = CallAndPrint(session, &v1::Sweeps::Stub::GetSweep, request);
  });
}

void AddCancel(CLI::App& parent, Session& session) {
  struct Options {
    std::string name;
    bool yes = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      parent.add_subcommand("cancel", "Cancel the jobs of a sweep that have not ended");
  command->add_option("name", options->name, "Of the sweep")->required();
  command->add_flag("-y,--yes", options->yes, "Do not ask");
  command->footer("Example:\n  seer sweep cancel rates --yes");
  command->callback([&session, options] {
    v1::GetSweepRequest look;
    look.set_name(options->name);
    absl::Status sure =
        CallCoordinator<v1::Sweeps>(session, &v1::Sweeps::Stub::GetSweep, look).status();
    if (sure.ok())
      sure = Confirm(absl::StrCat("cancel sweep ", options->name, " and its jobs"), options->yes,
                     *session.interrupt);
    v1::CancelSweepRequest request;
    request.set_name(options->name);
    session.exit_code =
        sure.ok() ? CallAndPrint(session, &v1::Sweeps::Stub::CancelSweep, request) : Fail(sure);
  });
}

}  // namespace

void AddSweepCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("sweep", "Try many values of a job's fields");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer sweep create job.yaml --name rates --param optim.lr=0.1,0.3");
  AddCreate(*noun, session);
  CLI::App* list = noun->add_subcommand("list", "List sweeps");
  list->footer("Example:\n  seer sweep list");
  list->callback([&session] { session.exit_code = List(session); });
  AddDescribeSweep(*noun, session);
  AddCancel(*noun, session);
}

}  // namespace seer::client
