// seer worker launch: kubernetes, slurm.
#include "client/commands/worker_launch.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "client/exit_code.h"
#include "client/launch/kubernetes_api.h"
#include "client/launch/kubernetes_job.h"
#include "client/launch/program.h"
#include "client/launch/slurm_script.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

struct AgentFlags {
  AgentOptions agents;
  std::string grace = "2m";
  bool dry_run = false;
};

void AddAgentFlags(CLI::App& command, AgentFlags& flags, const char* count, const char* gpus) {
  AgentOptions& agents = flags.agents;
  command.add_option(count, agents.count, "Agents, one a machine")->required();
  command.add_option(gpus, agents.gpus, "GPUs of a machine, a rank each; 0: it computes on CPUs")
      ->capture_default_str();
  command
      .add_option("--devices", agents.devices,
                  "Ranks that a machine without GPUs may hold at a time")
      ->capture_default_str();
  command.add_option("--name", agents.name, "Of the batch system's job")->capture_default_str();
  command.add_option("--label", agents.labels,
                     "KEY=VALUE that jobs choose workers by, as gpu=h100; may be repeated");
  command.add_option("--grace", flags.grace,
                     "That ranks have for their checkpoint when a machine is taken away [2m]");
  command.add_option("--worker-flag", agents.worker_flags,
                     "A further flag of seer-worker, as --worker-flag=--log-format=json; may be "
                     "repeated");
  command.add_flag("--dry-run", flags.dry_run, "Print what would be submitted, and submit nothing");
}

// With the address of the coordinator that the command line, the environment or the context gives.
absl::Status Complete(const Session& session, AgentFlags& flags) {
  SEER_ASSIGN_OR_RETURN(flags.agents.grace, ReadDurationFlag("--grace", flags.grace));
  SEER_ASSIGN_OR_RETURN(const Context context, LoadContext(session.flags));
  flags.agents.coordinator = context.coordinator;
  return absl::OkStatus();
}

struct KubernetesFlags : AgentFlags {
  KubernetesOptions options;
  std::string kubeconfig, context, time;
};

absl::Status LaunchKubernetes(const Session& session, KubernetesFlags& flags) {
  SEER_RETURN_IF_ERROR(Complete(session, flags));
  flags.options.agents = flags.agents;
  if (!flags.time.empty()) {
    SEER_ASSIGN_OR_RETURN(flags.options.time_limit, ReadDurationFlag("--time", flags.time));
  }
  SEER_RETURN_IF_ERROR(CheckKubernetes(flags.options));
  const bool json = session.form == OutputForm::kJson || session.form == OutputForm::kJsonl;
  const auto print = [&](const nlohmann::ordered_json& job) {
    if (json)
      std::cout << job.dump(session.form == OutputForm::kJson ? 1 : -1) << "\n";
    else
      std::cout << ToYaml(job);
  };
  if (flags.dry_run) {
    print(KubernetesJob(flags.options, NewRequestId()));
    return absl::OkStatus();
  }
  SEER_ASSIGN_OR_RETURN(KubernetesAccess access, FindAccess(flags.kubeconfig, flags.context));
  if (!flags.options.name_space.empty()) access.name_space = flags.options.name_space;
  flags.options.name_space = access.name_space;
  KubernetesApi api(std::move(access), *session.interrupt);
  SEER_ASSIGN_OR_RETURN(const auto job,
                        api.CreateJob(KubernetesJob(flags.options, NewRequestId())));
  if (json || session.form == OutputForm::kYaml) {
    print(job);
    return absl::OkStatus();
  }
  std::cout << flags.agents.name << "\n";
  if (session.form == OutputForm::kName) return absl::OkStatus();
  Note(absl::StrCat("created job ", flags.agents.name, " in ", flags.options.name_space,
                    flags.options.queue.empty() ? ""
                                                : absl::StrCat("; it starts when queue ",
                                                               flags.options.queue, " admits it"),
                    ". `seer worker list` shows its agents, `kubectl delete job ",
                    flags.agents.name, "` ends them"));
  return absl::OkStatus();
}

void AddKubernetes(CLI::App& parent, Session& session) {
  auto flags = std::make_shared<KubernetesFlags>();
  KubernetesOptions& options = flags->options;
  CLI::App* command = parent.add_subcommand(
      "kubernetes", "Create a Kubernetes Job with an agent in each of its pods");
  AddAgentFlags(*command, *flags, "--count", "--gpus");
  command->add_option("--image", options.image, "Of the worker")->required();
  command->add_option("--queue", options.queue,
                      "Local queue of Kueue, which starts the job; default: it starts at once");
  command->add_option("--priority-class", options.priority_class, "Of Kueue");
  command->add_option("--topology", options.topology,
                      "Label of nodes whose value all agents must share, for Kueue");
  command->add_option("-n,--namespace", options.name_space, "Default: of the context");
  command
      ->add_option("--release", options.release,
                   "Of the chart: its service account and network policies count")
      ->capture_default_str();
  command->add_option("--cpu", options.cpu, "CPUs of an agent")->capture_default_str();
  command->add_option("--memory", options.memory, "Memory of an agent")->capture_default_str();
  command->add_option("--shm", options.shm, "Of /dev/shm, within the memory")
      ->capture_default_str();
  command->add_option("--shared-claim", options.shared_claim,
                      "PersistentVolumeClaim with pools and checkpoints, mounted at /srv/seer");
  command->add_option("--environment-secret", options.environment_secret,
                      "Secret whose keys become environment variables, as AWS_ACCESS_KEY_ID");
  command->add_option("--tls-secret", options.tls_secret,
                      "Secret with tls.crt, tls.key and ca.crt for the agents");
  command->add_option("--token-secret", options.token_secret,
                      "Secret with the agents' token under the key token");
  command->add_option("--time", flags->time, "End it after so long, as 36h");
  command->add_option("--kubeconfig", flags->kubeconfig,
                      "Default: KUBECONFIG, ~/.kube/config, in a pod its service account");
  command->add_option("--kube-context", flags->context,
                      "Of the kubeconfig; default: the current one");
  command->footer(
      "Examples:\n  seer worker launch kubernetes --count 64 --gpus 8 --queue research --image "
      "registry.example.org/seer/worker-cuda:0.1.0\n  seer worker launch kubernetes --count 4 "
      "--devices 2 --image registry.example.org/seer/worker:0.1.0 --dry-run -o yaml");
  command->callback([&session, flags] {
    const absl::Status done = LaunchKubernetes(session, *flags);
    session.exit_code = done.ok() ? kExitOk : Fail(done);
  });
}

struct SlurmFlags : AgentFlags {
  SlurmOptions options;
};

absl::Status LaunchSlurm(const Session& session, SlurmFlags& flags) {
  SEER_RETURN_IF_ERROR(Complete(session, flags));
  flags.options.agents = flags.agents;
  if (flags.options.worker.empty()) {
    std::error_code error;
    flags.options.worker =
        std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "seer-worker";
  }
  SEER_RETURN_IF_ERROR(CheckSlurm(flags.options));
  const std::string script = SlurmScript(flags.options);
  if (flags.dry_run) {
    std::cout << script;
    return absl::OkStatus();
  }
  const auto answer = RunProgram({"sbatch", "--parsable"}, script, *session.interrupt);
  if (!answer.ok() && !absl::IsCancelled(answer.status())) {
    const bool absent = absl::IsNotFound(answer.status());
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSlurmFailed,
                 answer.status().message())
        .Hint(absent ? "run it on a machine of the Slurm cluster; or --dry-run prints the script"
                     : "what sbatch said is above; correct the flag that it is about");
  }
  SEER_RETURN_IF_ERROR(answer.status());
  const std::string job(absl::StripAsciiWhitespace(*answer));
  std::cout << job << "\n";
  if (session.form != OutputForm::kName)
    Note(absl::StrCat("submitted; `seer worker list` shows its agents once they run, `scancel ",
                      job, "` ends them"));
  return absl::OkStatus();
}

void AddSlurm(CLI::App& parent, Session& session) {
  auto flags = std::make_shared<SlurmFlags>();
  SlurmOptions& options = flags->options;
  CLI::App* command = parent.add_subcommand(
      "slurm", "Submit a Slurm job that runs an agent on each of its machines");
  AddAgentFlags(*command, *flags, "--nodes", "--gpus-per-node");
  command->add_option("--worker", options.worker,
                      "Path of seer-worker on the machines; default: beside this program");
  command->add_option("--partition", options.partition, "Of Slurm");
  command->add_option("--account", options.account, "Of Slurm");
  command->add_option("--cpus-per-node", options.cpus_per_node,
                      "Default: the whole node, for this job alone");
  command->add_option("--time", options.time, "As sbatch takes it: 2-00:00:00");
  command->add_option("--interface", options.interface,
                      "Network interface by which ranks reach each other, as ib0; default: the "
                      "node's address in Slurm");
  command
      ->add_option("--metrics-port", options.metrics_port,
                   "Where every agent serves /metrics to other machines, as 9103; 0: to its own "
                   "alone")
      ->capture_default_str();
  command->add_flag("--allow-loopback", options.allow_loopback,
                    "Take a coordinator on a loopback address: all nodes are this machine");
  command->add_option("--log-dir", options.log_dir,
                      "Folder for the agents' log; default: the current one");
  command->add_option("--sbatch", options.sbatch,
                      "A further option of sbatch, as --sbatch=--qos=high; may be repeated");
  command->footer(
      "Examples:\n  seer worker launch slurm --nodes 8 --gpus-per-node 8 --partition gpu --label "
      "gpu=h100 --time 2-00:00:00 --metrics-port 9103\n  seer worker launch slurm --nodes 2 "
      "--devices 4 "
      "--cpus-per-node 16 --dry-run");
  command->callback([&session, flags] {
    const absl::Status done = LaunchSlurm(session, *flags);
    session.exit_code = done.ok() ? kExitOk : Fail(done);
  });
}

}  // namespace

void AddWorkerLaunch(CLI::App& noun, Session& session) {
  CLI::App* launch = noun.add_subcommand("launch", "Have a batch system start agents");
  launch->require_subcommand(1);
  launch->footer(
      "Examples:\n  seer worker launch slurm --nodes 8 --gpus-per-node 8\n  seer worker launch "
      "kubernetes --count 64 --gpus 8 --image registry.example.org/seer/worker-cuda:0.1.0");
  AddKubernetes(*launch, session);
  AddSlurm(*launch, session);
}

}  // namespace seer::client
