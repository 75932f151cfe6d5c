// seer cluster: up, down, status.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli.h"
#include "client/cluster.h"
#include "client/exit_code.h"
#include "common/base/error.h"

namespace seer::client {
namespace {

int Up(const ClusterOptions& options) {
  LocalCluster cluster(options);
  const auto context = cluster.Up();
  if (!context.ok()) return Fail(context.status());
  std::printf("coordinator %s\ndataservice %s\n", context->coordinator.c_str(),
              absl::StrJoin(context->dataservice, ",").c_str());
  Note(absl::StrCat("the cluster runs; its state is in ", cluster.dir(),
                    "; `seer cluster down` stops it"));
  return kExitOk;
}

int Down(const ClusterOptions& options, bool purge, bool yes) {
  LocalCluster cluster(options);
  if (purge && !yes) {
    return Fail(
        Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
              absl::StrCat("--purge removes all jobs, pools and checkpoints in ", cluster.dir()))
            .Hint("say --yes as well, if that is meant"));
  }
  const absl::Status status = cluster.Down();
  if (!status.ok()) return Fail(status);
  if (purge) {
    std::error_code error;
    std::filesystem::remove_all(cluster.dir(), error);
  }
  return kExitOk;
}

int ShowStatus(const ClusterOptions& options) {
  LocalCluster cluster(options);
  const auto processes = cluster.Status();
  bool all = !processes.empty();
  std::printf("%-16s %-8s %-8s %-14s %s\n", "PROCESS", "STATE", "PID", "PORTS", "LOG");
  for (const auto& process : processes) {
    std::printf("%-16s %-8s %-8s %-14s %s\n", process.name.c_str(),
                process.running ? "running" : "dead",
                process.running ? absl::StrCat(process.pid).c_str() : "-", process.ports.c_str(),
                process.log.c_str());
    all = all && process.running;
  }
  if (!all)
    Note(processes.empty() ? "no cluster runs; `seer cluster up` starts one"
                           : "some processes are dead; `seer cluster up` starts them again");
  return all ? kExitOk : kExitError;
}

}  // namespace

void AddClusterCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("cluster", "A whole cluster on this machine");
  noun->require_subcommand(1);
  struct Options {
    ClusterOptions cluster;
    bool purge = false, yes = false;
  };
  auto options = std::make_shared<Options>();
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
  up->callback([&session, options] { session.exit_code = Up(options->cluster); });
  CLI::App* down = noun->add_subcommand("down", "Stop it; jobs, pools and checkpoints stay");
  add_dir(down);
  down->add_flag("--purge", options->purge, "Also remove its jobs, pools and checkpoints");
  down->add_flag("--yes", options->yes, "Do not ask");
  down->footer("Examples:\n  seer cluster down\n  seer cluster down --purge --yes");
  down->callback([&session, options] {
    session.exit_code = Down(options->cluster, options->purge, options->yes);
  });
  CLI::App* status =
      noun->add_subcommand("status", "Show its processes; exits with 1 if one is dead");
  add_dir(status);
  status->footer("Example:\n  seer cluster status");
  status->callback([&session, options] { session.exit_code = ShowStatus(options->cluster); });
}

}  // namespace seer::client
