// seer worker: list, describe, cordon, uncordon, drain; launch is in worker_launch.cc.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli.h"
#include "client/commands/job.h"
#include "client/commands/worker_launch.h"
#include "client/coordinator_call.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/workers.grpc.pb.h"

namespace seer::client {
namespace {

constexpr absl::Duration kDrainPeriod = absl::Seconds(1);

using google::protobuf::Message;

const v1::Worker& As(const Message& m) { return static_cast<const v1::Worker&>(m); }

std::string NameOf(const v1::Worker& worker) {
  return std::string(absl::StripPrefix(worker.name(), "workers/"));
}
// "UP", "LOST", and with a cordon also "CORDONED", "DRAINING", "DRAINED".
std::string StateOf(const v1::Worker& worker) {
  const std::string state = EnumName(v1::WorkerState_Name(worker.state()), "WORKER_STATE_");
  if (!worker.has_cordon()) return state;
  if (!worker.cordon().draining()) return absl::StrCat(state, ",CORDONED");
  return absl::StrCat(state, worker.devices_in_use() > 0 ? ",DRAINING" : ",DRAINED");
}
std::string DevicesOf(const v1::Worker& worker) {
  return absl::StrCat(worker.devices_in_use(), "/", worker.devices(), " ", worker.device_kind());
}
std::string LabelsOf(const v1::Worker& worker) {
  const std::map<std::string, std::string> labels(worker.labels().begin(), worker.labels().end());
  return absl::StrJoin(labels, ",", absl::PairFormatter("="));
}
std::string JobsOf(const v1::Worker& worker, absl::string_view separator) {
  return absl::StrJoin(worker.jobs(), separator, [](std::string* out, const std::string& job) {
    absl::StrAppend(out, ShortId(job));
  });
}

std::vector<std::pair<std::string, std::string>> Description(const v1::Worker& worker) {
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Worker", NameOf(worker)},
      {"State", StateOf(worker)},
      {"Devices", DevicesOf(worker)},
      {"Heartbeat", absl::StrCat(FormatAge(worker.heartbeat_time()), " ago")},
      {"Host", worker.hostname()},
      {"Address", worker.address()},
      {"Version", worker.version()},
      {"Labels", LabelsOf(worker)}};
  if (worker.has_cordon()) {
    lines.emplace_back("Cordoned",
                       absl::StrCat(FormatTime(worker.cordon().time()), " by ",
                                    worker.cordon().automatic() ? "the coordinator" : "request"));
    lines.emplace_back("Because", worker.cordon().reason());
  }
  for (const std::string& job : worker.jobs()) lines.emplace_back("Job", ShortId(job));
  for (const v1::WorkerFault& fault : worker.faults())
    lines.emplace_back(
        "Fault", absl::StrCat(FormatTime(fault.time()), " ",
                              absl::AsciiStrToLower(EnumName(
                                  v1::FailureClass_Name(fault.failure_class()), "FAILURE_CLASS_")),
                              ", ", ShortId(fault.job()), " attempt ", fault.attempt(), ": ",
                              fault.message()));
  return lines;
}

// Calls `method` once and prints what it gives.
template <typename Request>
int CallAndPrint(Session& session,
                 grpc::Status (v1::Workers::Stub::*method)(grpc::ClientContext*, const Request&,
                                                           v1::Worker*),
                 const Request& request) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Workers::NewStub(*channel);
  const auto worker = CallCoordinator(session, *stub, method, request);
  if (!worker.ok()) return Fail(worker.status());
  PrintOne(session.form, *worker, Description(*worker));
  return kExitOk;
}

int List(Session& session) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Workers::NewStub(*channel);
  v1::ListWorkersRequest request;
  const auto workers =
      FetchPages<v1::Worker>(session, "the coordinator", *stub, &v1::Workers::Stub::ListWorkers,
                             request, &v1::ListWorkersResponse::workers);
  if (!workers.ok()) return Fail(workers.status());
  std::vector<const Message*> items;
  for (const auto& worker : *workers) items.push_back(&worker);
  PrintList(session.form, items,
            {{"NAME", [](const Message& m) { return NameOf(As(m)); }},
             {"STATE", [](const Message& m) { return StateOf(As(m)); }},
             {"DEVICES", [](const Message& m) { return DevicesOf(As(m)); }},
             {"HEARTBEAT", [](const Message& m) { return FormatAge(As(m).heartbeat_time()); }},
             {"JOBS", [](const Message& m) { return JobsOf(As(m), ","); }},
             {"LABELS", [](const Message& m) { return LabelsOf(As(m)); }, true},
             {"HOST", [](const Message& m) { return As(m).hostname(); }, true},
             {"ADDRESS", [](const Message& m) { return As(m).address(); }, true},
             {"VERSION", [](const Message& m) { return As(m).version(); }, true},
             {"BECAUSE", [](const Message& m) { return As(m).cordon().reason(); }, true}});
  return kExitOk;
}

struct DrainOptions {
  std::string name, reason, timeout;
  bool wait = false;
};

int Drain(Session& session, const DrainOptions& options) {
  const auto timeout = ReadTimeout(options.timeout, options.wait);
  if (!timeout.ok()) return Fail(timeout.status());
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Workers::NewStub(*channel);
  v1::DrainWorkerRequest request;
  request.set_name(options.name);
  request.set_reason(options.reason);
  auto worker = CallCoordinator(session, *stub, &v1::Workers::Stub::DrainWorker, request);
  v1::GetWorkerRequest look;
  look.set_name(options.name);
  const absl::Duration deadline = Clock::Real().Steady() + *timeout;
  std::string said;
  while (worker.ok() && worker->devices_in_use() > 0) {
    const std::string left = absl::StrCat("leaving ", options.name, ": ", JobsOf(*worker, ", "),
                                          "; devices in use: ", worker->devices_in_use());
    if (left != said) Note(left);
    said = left;
    if (!options.wait) break;
    if (Clock::Real().Steady() >= deadline) {
      Note(absl::StrCat("the time is up; the drain goes on. `seer worker describe ", options.name,
                        "` shows it"));
      return kExitTimeUp;
    }
    if (!session.interrupt->SleepFor(kDrainPeriod)) {
      Note(absl::StrCat("the drain goes on; `seer worker uncordon ", options.name, "` ends it"));
      return kExitInterrupted;
    }
    worker = CallCoordinator(session, *stub, &v1::Workers::Stub::GetWorker, look);
    if (worker.ok() && !worker->cordon().draining()) {
      Note(absl::StrCat(options.name, " was uncordoned meanwhile"));
      return kExitError;
    }
  }
  if (!worker.ok()) return Fail(worker.status());
  PrintOne(session.form, *worker, Description(*worker));
  return kExitOk;
}

void AddCordon(CLI::App& parent, Session& session) {
  auto request = std::make_shared<v1::CordonWorkerRequest>();
  CLI::App* command =
      parent.add_subcommand("cordon", "Place nothing more on a worker; what runs there goes on");
  command
      ->add_option_function<std::string>(
          "name", [request](const std::string& name) { request->set_name(name); }, "Of the worker")
      ->required();
  command
      ->add_option_function<std::string>(
          "--reason", [request](const std::string& reason) { request->set_reason(reason); },
          "For those who wonder why, in a sentence")
      ->required();
  command->footer("Example:\n  seer worker cordon gpu-17 --reason 'fan is loud'");
  command->callback([&session, request] {
    if (absl::StripAsciiWhitespace(request->reason()).empty()) {
      session.exit_code =
          Fail(Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "--reason is empty")
                   .Field("--reason")
                   .Hint("say in a sentence why, for those who wonder"));
      return;
    }
    session.exit_code = CallAndPrint(session, &v1::Workers::Stub::CordonWorker, *request);
  });
}

void AddDrain(CLI::App& parent, Session& session) {
  auto options = std::make_shared<DrainOptions>();
  CLI::App* command = parent.add_subcommand(
      "drain", "Cordon a worker; its jobs write a checkpoint and go on elsewhere");
  command->add_option("name", options->name, "Of the worker")->required();
  command->add_option("--reason", options->reason, "For those who wonder why, in a sentence");
  command->add_flag("--wait", options->wait, "Until no job holds a device there");
  command->add_option("--timeout", options->timeout, "Wait at most so long: 90s, 5m, 36h");
  command->footer(
      "Examples:\n  seer worker drain gpu-17 --reason 'new driver'\n  seer worker drain gpu-17 "
      "--wait --timeout 30m");
  command->callback([&session, options] { session.exit_code = Drain(session, *options); });
}

}  // namespace

void AddWorkerCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("worker", "Look at the machines, and take them out of use");
  noun->require_subcommand(1);
  noun->footer("Examples:\n  seer worker list\n  seer worker drain gpu-17 --wait");
  CLI::App* list = noun->add_subcommand("list", "List workers");
  list->footer("Example:\n  seer worker list -o wide");
  list->callback([&session] { session.exit_code = List(session); });

  auto described = std::make_shared<v1::GetWorkerRequest>();
  CLI::App* describe = noun->add_subcommand("describe", "Show a worker, and its faults");
  describe
      ->add_option_function<std::string>(
          "name", [described](const std::string& name) { described->set_name(name); },
          "Of the worker")
      ->required();
  describe->footer("Example:\n  seer worker describe gpu-17");
  describe->callback([&session, described] {
    session.exit_code = CallAndPrint(session, &v1::Workers::Stub::GetWorker, *described);
  });
  AddCordon(*noun, session);
  auto freed = std::make_shared<v1::UncordonWorkerRequest>();
  CLI::App* uncordon =
      noun->add_subcommand("uncordon", "Place work on a worker again, and forget its faults");
  uncordon
      ->add_option_function<std::string>(
          "name", [freed](const std::string& name) { freed->set_name(name); }, "Of the worker")
      ->required();
  uncordon->footer("Example:\n  seer worker uncordon gpu-17");
  uncordon->callback([&session, freed] {
    session.exit_code = CallAndPrint(session, &v1::Workers::Stub::UncordonWorker, *freed);
  });
  AddDrain(*noun, session);
  AddWorkerLaunch(*noun, session);
}

}  // namespace seer::client
