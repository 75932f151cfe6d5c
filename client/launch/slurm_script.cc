#include "client/launch/slurm_script.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

// One word for the shell, whatever is in it.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

absl::Status CheckWord(const char* flag, const std::string& value) {
  if (value.find_first_of(" \t\n\r#'\"\\") == std::string::npos) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("--", flag, " is '", value,
                            "': no spaces, quotes, '#' or line ends in an option of sbatch"))
      .Field(flag);
}

// On each machine. The leaf switch of Slurm's topology is the rack's, the one above joins racks.
constexpr char kAgent[] = R"(
agent() {
  address=$(scontrol show node "$SLURMD_NODENAME" --oneliner | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
  if [[ -n $interface ]]; then
    address=$(ip -o -4 address show dev "$interface" | sed -n 's/.* inet \([0-9.]*\).*/\1/p' | head -n 1)
  fi
  labels=()
  if [[ ${SLURM_TOPOLOGY_ADDR_PATTERN:-node} == *switch.node ]]; then
    IFS=. read -r -a path <<<"$SLURM_TOPOLOGY_ADDR"
    labels+=("--label=rack=${path[-2]}")
    if [[ ${#path[@]} -gt 2 ]]; then labels+=("--label=switch=${path[-3]}"); fi
  fi
  exec "$worker" "${flags[@]}" --name="$SLURMD_NODENAME" --address="${address:?no address of this machine}" "${labels[@]}"
}
)";

// In the batch step. A wait that a signal has ended is taken up again. Back into the queue goes
// what Slurm still runs: not a job that was cancelled.
constexpr char kBatch[] = R"(
asked=0
drain() {
  asked=1
  scancel --signal=TERM "$SLURM_JOB_ID"
}
trap drain TERM
srun --kill-on-bad-exit=0 --ntasks="$SLURM_NNODES" --ntasks-per-node=1 bash -c "$(declare -p worker flags interface); $(declare -f agent); agent" &
step=$!
while wait "$step"; code=$?; [[ $code -gt 128 && $asked == 1 ]]; do asked=0; done
if [[ $code == "$drained" && $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]]; then
  echo "the machines are wanted elsewhere: back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
)";

}  // namespace

absl::Status CheckSlurm(const SlurmOptions& options) {
  SEER_RETURN_IF_ERROR(CheckAgents(options.agents));
  if (!options.allow_loopback) {
    SEER_RETURN_IF_ERROR(
        CheckReachable(options.agents, ", or say --allow-loopback if all nodes are this machine"));
  }
  if (options.metrics_port < 0 || options.metrics_port > 65535) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("--metrics-port is ", options.metrics_port,
                              ", must be from 1 to 65535, or 0 for none that others reach"))
        .Field("metrics-port");
  }
  SEER_RETURN_IF_ERROR(CheckWord("partition", options.partition));
  SEER_RETURN_IF_ERROR(CheckWord("account", options.account));
  SEER_RETURN_IF_ERROR(CheckWord("cpus-per-node", options.cpus_per_node));
  SEER_RETURN_IF_ERROR(CheckWord("time", options.time));
  SEER_RETURN_IF_ERROR(CheckWord("log-dir", options.log_dir));
  for (const std::string& option : options.sbatch) {
    SEER_RETURN_IF_ERROR(CheckWord("sbatch", option));
    if (!absl::StartsWith(option, "--")) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("--sbatch takes long options, as --sbatch=--qos=high, not '",
                                option, "'"))
          .Field("sbatch");
    }
  }
  return absl::OkStatus();
}

std::string SlurmScript(const SlurmOptions& options) {
  const AgentOptions& agents = options.agents;
  std::vector<std::string> lines = {
      absl::StrCat("--job-name=", agents.name), absl::StrCat("--nodes=", agents.count),
      "--ntasks-per-node=1", "--requeue", "--open-mode=append",
      // The batch step is told before the time is up, and tells the agents.
      absl::StrCat("--signal=B:TERM@", absl::ToInt64Seconds(agents.grace + kAfterGrace)),
      absl::StrCat("--output=", options.log_dir.empty() ? "" : options.log_dir + "/", "%x-%j.log")};
  if (agents.gpus > 0) lines.push_back(absl::StrCat("--gpus-per-node=", agents.gpus));
  if (options.cpus_per_node.empty())
    lines.push_back("--exclusive");
  else
    lines.push_back(absl::StrCat("--cpus-per-task=", options.cpus_per_node));
  if (!options.partition.empty()) lines.push_back(absl::StrCat("--partition=", options.partition));
  if (!options.account.empty()) lines.push_back(absl::StrCat("--account=", options.account));
  if (!options.time.empty()) lines.push_back(absl::StrCat("--time=", options.time));
  lines.insert(lines.end(), options.sbatch.begin(), options.sbatch.end());

  std::string script = "#!/bin/bash\n# Made by `seer worker launch slurm`.\n";
  for (const std::string& line : lines) absl::StrAppend(&script, "#SBATCH ", line, "\n");
  absl::StrAppend(&script, "set -u\nworker=", Quoted(options.worker),
                  "\ninterface=", Quoted(options.interface), "\ndrained=", kDrainedExitCode,
                  "\nflags=(\n");
  std::vector<std::string> flags = WorkerFlags(agents);
  if (options.metrics_port != 0)
    flags.push_back(absl::StrCat("--metrics=0.0.0.0:", options.metrics_port));
  for (const std::string& flag : flags) absl::StrAppend(&script, "  ", Quoted(flag), "\n");
  absl::StrAppend(&script, ")\n", kAgent, kBatch);
  return script;
}

}  // namespace seer::client
