// seer cluster: up, down, status; `doctor` has a file of its own.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli.h"
#include "client/cluster.h"
#include "client/commands/cluster_doctor.h"
#include "client/confirm.h"
#include "client/exit_code.h"

namespace seer::client {
namespace {

int Up(Session& session, const ClusterOptions& options) {
  LocalCluster cluster(options);
  const auto context = cluster.Up(*session.interrupt);
  if (!context.ok()) return Fail(context.status());
  std::printf("coordinator %s\ndataservice %s\ndashboard %s\n", context->coordinator.c_str(),
              absl::StrJoin(context->dataservice, ",").c_str(), cluster.Dashboard().c_str());
  Note(absl::StrCat("the cluster runs; its state is in ", cluster.dir(),
                    "; `seer cluster down` stops it"));
  return kExitOk;
}

struct DownOptions {
  ClusterOptions cluster;
  bool purge = false, yes = false, dry_run = false;
};

int Down(Session& session, const DownOptions& options) {
  LocalCluster cluster(options.cluster);
  if (options.dry_run) {
    for (const auto& process : cluster.Status())
      if (process.running) std::printf("would stop %s\n", process.name.c_str());
    if (options.purge) std::printf("would remove %s\n", cluster.dir().c_str());
    return kExitOk;
  }
  if (options.purge) {
    const absl::Status confirmed =
        Confirm(absl::StrCat("remove all jobs, pools and checkpoints in ", cluster.dir()),
                options.yes, *session.interrupt, DryRun::kOffered);
    if (!confirmed.ok()) return Fail(confirmed);
  }
  absl::Status status = cluster.Down(*session.interrupt);
  if (status.ok() && options.purge) status = cluster.Purge();
  return ExitCode(status);
}

const char* StateOf(const ClusterProcess& process) { return process.running ? "running" : "dead"; }

// The same for scripts, whole even if nothing runs.
void PrintStatus(OutputForm form, const LocalCluster& cluster,
                 const std::vector<ClusterProcess>& processes) {
  nlohmann::ordered_json all = {{"dir", cluster.dir()},
                                {"dashboard", cluster.Dashboard()},
                                {"processes", nlohmann::ordered_json::array()}};
  for (const ClusterProcess& process : processes) {
    all["processes"].push_back({{"name", process.name},
                                {"state", StateOf(process)},
                                {"pid", process.pid},
                                {"ports", process.ports},
                                {"log", process.log}});
  }
  PrintDocument(form, all.dump());
}

void PrintStatusTable(const std::vector<ClusterProcess>& processes) {
  std::printf("%-16s %-8s %-8s %-18s %s\n", "PROCESS", "STATE", "PID", "PORTS", "LOG");
  for (const auto& process : processes) {
    std::printf("%-16s %-8s %-8s %-18s %s\n", process.name.c_str(), StateOf(process),
                process.running ? absl::StrCat(process.pid).c_str() : "-",
                absl::StrJoin(process.ports, " ").c_str(), process.log.c_str());
  }
}

int ShowStatus(const Session& session, const ClusterOptions& options) {
  LocalCluster cluster(options);
  const auto processes = cluster.Status();
  const bool all = !processes.empty() &&
                   std::all_of(processes.begin(), processes.end(),
                               [](const ClusterProcess& process) { return process.running; });
  if (IsDocument(session.form)) {
    PrintStatus(session.form, cluster, processes);
    return all ? kExitOk : kExitError;
  }
  if (session.form == OutputForm::kName) {
    for (const ClusterProcess& process : processes) std::printf("%s\n", process.name.c_str());
    return all ? kExitOk : kExitError;
  }
  PrintStatusTable(processes);
  if (const std::string dashboard = cluster.Dashboard(); !dashboard.empty())
    Note(absl::StrCat("dashboard: ", dashboard));
  if (!all)
    Note(processes.empty() ? "no cluster runs; `seer cluster up` starts one"
                           : "some processes are dead; `seer cluster up` starts them again");
  return all ? kExitOk : kExitError;
}

}  // namespace

void AddClusterCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("cluster", "A whole cluster on this machine");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer cluster up");
  auto options = std::make_shared<DownOptions>();
  const auto add_dir = [&](CLI::App* command) {
    command->add_option("--dir", options->cluster.dir,
                        "Folder of its state; default ${SEER_HOME:-~/.local/share/seer}/cluster");
  };
  CLI::App* up = noun->add_subcommand(
      "up", "Start coordinator, data service and workers; start again what died");
  add_dir(up);
  up->add_option("--workers", options->cluster.workers, "Workers, one device each")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  up->add_option("--dataservices", options->cluster.dataservices, "Replicas of the data service")
      ->capture_default_str()
      ->check(CLI::Range(1, 16));
  up->footer("Examples:\n  seer cluster up\n  seer cluster up --workers 4 --dataservices 2");
  up->callback([&session, options] { session.exit_code = Up(session, options->cluster); });
  CLI::App* down = noun->add_subcommand("down", "Stop it; jobs, pools and checkpoints stay");
  add_dir(down);
  down->add_flag("--purge", options->purge, "Also remove its jobs, pools and checkpoints");
  down->add_flag("--yes,-y", options->yes, "Do not ask");
  down->add_flag("--dry-run", options->dry_run,
                 "Say what would be stopped and removed; do nothing");
  down->footer("Examples:\n  seer cluster down\n  seer cluster down --purge --yes");
  down->callback([&session, options] { session.exit_code = Down(session, *options); });
  CLI::App* status =
      noun->add_subcommand("status", "Show its processes; exits with 1 if one is dead");
  add_dir(status);
  status->footer("Example:\n  seer cluster status");
  status->callback(
      [&session, options] { session.exit_code = ShowStatus(session, options->cluster); });
  AddDoctor(*noun, session);
}

}  // namespace seer::client
