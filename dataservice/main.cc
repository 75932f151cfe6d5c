// seer-dataservice: flags -> ServerConfig, then serves until SIGTERM; or fills one pool and exits.
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/exit_code.h"
#include "common/base/heap.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"
#include "common/flags/log_format_flag.h"
#include "common/flags/number.h"
#include "common/otlp/telemetry.h"
#include "common/otlp/telemetry_flags.h"
#include "common/rpc/security_flags.h"
#include "dataservice/ingest_once.h"
#include "dataservice/server.h"

namespace {

absl::Status Ingest(const seer::dataservice::ServerConfig& config, const std::string& part,
                    seer::dataservice::OnceConfig& once) {
  SEER_ASSIGN_OR_RETURN(once.ingest.part, seer::ParsePart(part));
  SEER_ASSIGN_OR_RETURN(once.ingest.threads, seer::dataservice::ThreadsOf(config));
  once.pools = config.pools;
  return seer::dataservice::IngestOnce(once);
}

}  // namespace

int main(int argc, char** argv) {
  seer::KeepHeapSmall();
  // Arrow's memory is malloc's too, and given back with it; its own pool keeps what it ever took.
  setenv("ARROW_DEFAULT_MEMORY_POOL", "system", /*overwrite=*/0);
  seer::BeginProgram();
  seer::dataservice::ServerConfig config;
  std::string port_file, otlp_endpoint;
  seer::LogFormat log_format = seer::LogFormat::kText;
  CLI::App app{
      "Streams and decodes image pools to trainers, and keeps the pools' catalogues. Stateless: "
      "run as many replicas as needed."};
  app.set_version_flag("--version", SEER_VERSION);
  app.add_option("--listen", config.listen, "HOST:PORT to serve gRPC on; port 0 takes any free one")
      ->capture_default_str();
  app.add_option("--metrics", config.metrics, "HOST:PORT of the Prometheus endpoint /metrics")
      ->capture_default_str();
  app.add_option(
         "--pools", config.pools,
         "Root of the pools: a path, file:///DIR, s3://BUCKET/PREFIX?region=REGION, "
         "gs://BUCKET/PREFIX or abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX; pool P "
         "lives in P below it")
      ->required();
  app.add_option("--threads", config.threads, "Threads that decode; 0: one a core")
      ->capture_default_str();
  seer::AddSecurityFlags(app, seer::SecurityRole::kServer, config.security);
  seer::AddAuthFlag(app, config.authenticate);
  app.add_option("--coordinator", config.coordinators,
                 "HOST:PORT of the coordinator that knows tokens, of several all with commas; for "
                 "--auth tokens");
  seer::AddTelemetryFlag(app, otlp_endpoint);
  app.add_option("--port-file", port_file,
                 "File to write \"GRPC_PORT METRICS_PORT\" to once serving");
  seer::AddLogFormatFlag(app, log_format);
  seer::dataservice::OnceConfig once;
  std::string part = "1/1";
  CLI::App* ingest = app.add_subcommand(
      "ingest", "Fill a pool that is there and exit, without serving: needs no service that runs");
  ingest->fallthrough();  // --pools, --threads and --log-format are those above
  ingest->add_option("pool", once.pool, "Name of the pool")->required();
  ingest->add_option("sources", once.ingest.sources, "As those of `seer pool ingest`")->required();
  ingest->add_flag("--labels-from-folders", once.ingest.labels_from_folders,
                   "Sub-folders are classes");
  ingest
      ->add_option("--shard-bytes", once.ingest.shard_bytes,
                   "Of a shard, 64MiB; a unit of work brings about as much")
      ->transform(CLI::AsSizeValue(false))
      ->check(seer::AtLeast(1))
      ->capture_default_str();
  ingest->add_option("--part", part,
                     "I/N: read part I of N only; whoever finds all N done commits. Killed, the "
                     "same command goes on");
  ingest->footer(
      "Examples:\n  seer-dataservice ingest photos /data/photos --pools /data/pools\n  "
      "seer-dataservice ingest photos shards/*.tar --pools s3://photos/pools --part "
      "$((SLURM_ARRAY_TASK_ID + 1))/16\n  seer-dataservice ingest photos /data/photos --pools "
      "/data/pools --part $((JOB_COMPLETION_INDEX + 1))/16\nExit codes: those of `seer` "
      "(docs/errors.md).");
  app.footer(
      "Examples:\n  seer-dataservice --pools file:///data/pools\n  seer-dataservice --pools "
      "/data/pools --listen 127.0.0.1:0 --port-file ports\n  seer-dataservice --pools "
      "'s3://photos/pools?region=eu-west-1'\n  seer-dataservice --pools /data/pools --listen "
      "0.0.0.0:7080 --tls-cert tls.pem --tls-key tls.key --tls-ca ca.pem --auth tokens "
      "--coordinator head:7070");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  seer::InitLogging(log_format, seer::LogLevel::kInfo, {{"process", "dataservice"}});
  const auto telemetry =
      seer::Telemetry::Start({.service = "seer-dataservice", .endpoint = otlp_endpoint});
  if (!telemetry.ok()) return seer::FailProgram(telemetry.status());
  if (ingest->parsed()) {
    const absl::Status done = Ingest(config, part, once);
    if (!done.ok()) seer::FailProgram(done);
    return seer::ExitCodeOf(done);
  }
  const seer::HeapReleaser heap;
  auto server = seer::dataservice::DataServer::Start(config);
  if (!server.ok()) return seer::FailProgram(server.status());
  if (!port_file.empty()) {
    const absl::Status written = seer::WriteFileAtomically(
        port_file, absl::StrCat((*server)->port(), " ", (*server)->metrics_port()));
    if (!written.ok()) return seer::FailProgram(written);
  }
  seer::LogInfo("serving", {{"port", (*server)->port()},
                            {"metrics_port", (*server)->metrics_port()},
                            {"pools", config.pools}});
  seer::WaitForTermination();
  seer::LogInfo("stopping");
  server->reset();
  return 0;
}
