// seer-worker: flags -> AgentConfig, then runs until SIGTERM.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/label.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/flags/duration_flag.h"
#include "common/flags/log_format_flag.h"
#include "common/metrics/http.h"
#include "common/otlp/telemetry.h"
#include "common/otlp/telemetry_flags.h"
#include "common/rpc/security_flags.h"
#include "worker/agent/agent.h"

int main(int argc, char** argv) {
  seer::BeginProgram();
  seer::worker::AgentConfig config;
  std::vector<std::string> labels;
  std::string port_file, metrics_address = "127.0.0.1:0";
  seer::LogFormat log_format = seer::LogFormat::kText;
  int drained_exit_code = 0;
  config.name = seer::HostName();
  if (config.name.empty()) config.name = "worker";
  std::error_code no_proc;
  config.trainer =
      (std::filesystem::read_symlink("/proc/self/exe", no_proc).parent_path() / "seer-trainer")
          .string();
  CLI::App app{
      "Offers this machine's devices to a coordinator and runs one trainer process per rank."};
  app.set_version_flag("--version", SEER_VERSION);
  app.add_option(
         "--coordinator", config.coordinator,
         "HOST:PORT of the coordinator; of several, all with commas: the one that leads is found")
      ->required();
  seer::AddSecurityFlags(app, seer::SecurityRole::kClient, config.security);
  app.add_option("--name", config.name, "Stable name of this worker")->capture_default_str();
  app.add_option("--devices", config.devices, "Ranks this machine may hold at a time")
      ->capture_default_str();
  app.add_option("--device-kind", config.device_kind,
                 "cpu, or cuda: rank by rank, GPUs 0 to --devices minus 1 of CUDA_VISIBLE_DEVICES")
      ->capture_default_str();
  app.add_option(
         "--kernel-log", config.kernel_log,
         "Where the kernel says what is wrong with GPUs (Xid), for CAP_SYSLOG or root; empty: "
         "it is not read")
      ->capture_default_str();
  app.add_option("--device-peak-flops", config.peak_flops,
                 "What one device can do in a second at the precision of its jobs, for example "
                 "989e12: seer_train_mfu_ratio is measured by it; default: absent")
      ->envname("SEER_DEVICE_PEAK_FLOPS");
  app.add_option("--address", config.address,
                 "Address at which ranks on other machines reach this one")
      ->capture_default_str();
  app.add_option("--label", labels,
                 "KEY=VALUE that jobs choose workers by, as rack=7; may be repeated");
  app.add_option("--work-dir", config.work_dir,
                 "Folder for assignments of ranks, of this worker alone; default: seer-worker-NAME "
                 "in the folder for temporary files");
  seer::AddDuration(
      app, "--grace", config.grace,
      "At SIGTERM its ranks have so long to write a checkpoint, for example 2m [10s]");
  app.add_option("--drained-exit-code", drained_exit_code,
                 "Exit code after SIGTERM or SIGINT: batch systems take another one than 0 for "
                 "\"again\"")
      ->check(CLI::Range(0, 125))
      ->capture_default_str();
  app.add_option("--trainer", config.trainer, "Path of the trainer program")->capture_default_str();
  app.add_option("--metrics", metrics_address, "HOST:PORT of the Prometheus endpoint /metrics")
      ->capture_default_str();
  seer::AddTelemetryFlag(app, config.otlp_endpoint);
  app.add_option("--port-file", port_file, "File to write \"0 METRICS_PORT\" to once running");
  seer::AddLogFormatFlag(app, log_format);
  app.footer(
      "Examples:\n  seer-worker --coordinator 127.0.0.1:7070 --devices 2\n  seer-worker "
      "--coordinator head:7070 --name node-17 --address 10.0.0.17 --device-kind cuda --devices 8 "
      "--label rack=7 --label gpu=h100\n "
      " "
      "seer-worker --coordinator head-0:7070,head-1:7070 --tls-ca ca.pem --token-file "
      "worker.token");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto parsed_labels = seer::ParseMachineLabels(labels);
  if (!parsed_labels.ok()) return seer::FailProgram(parsed_labels.status());
  config.labels = *std::move(parsed_labels);
  if (config.work_dir.empty()) {
    config.work_dir =
        (std::filesystem::temp_directory_path() / absl::StrCat("seer-worker-", config.name))
            .string();
  }
  seer::InitLogging(log_format, seer::LogLevel::kInfo,
                    {{"process", "worker"}, {"worker", config.name}});
  const auto telemetry = seer::Telemetry::Start({.service = "seer-worker",
                                                 .endpoint = config.otlp_endpoint,
                                                 .attributes = {{"seer.worker", config.name}}});
  if (!telemetry.ok()) return seer::FailProgram(telemetry.status());
  seer::MetricsRegistry registry;
  seer::AddTelemetryMetrics(registry);
  auto metrics = seer::MetricsHttp::Start(metrics_address, registry);
  if (!metrics.ok()) return seer::FailProgram(metrics.status());
  const seer::CertificateWatch certificate(config.security.certificate, registry);
  auto agent = seer::worker::Agent::Start(config, registry);
  if (!agent.ok()) return seer::FailProgram(agent.status());
  if (!port_file.empty()) {
    const absl::Status written =
        seer::WriteFileAtomically(port_file, absl::StrCat("0 ", (*metrics)->port()));
    if (!written.ok()) return seer::FailProgram(written);
  }
  seer::WaitForTermination();
  seer::LogInfo("stopping");
  agent->reset();
  return drained_exit_code;
}
