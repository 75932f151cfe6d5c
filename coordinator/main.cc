// seer-coordinator: flags -> ServerConfig, then serves until SIGTERM; or a verb of maintenance.h.
#include <CLI/CLI.hpp>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/flags/duration_flag.h"
#include "common/flags/log_format_flag.h"
#include "common/flags/number.h"
#include "common/otlp/telemetry.h"
#include "common/otlp/telemetry_flags.h"
#include "common/rpc/security_flags.h"
#include "coordinator/maintenance.h"
#include "coordinator/server.h"
#include "coordinator/services/log_retention.h"
#include "coordinator/store/database_url.h"

namespace {

// "5%" or "2.5%" -> `out`, a ratio.
CLI::callback_t ReadPercent(double& out) {
  return [&out](const CLI::results_t& values) {
    absl::string_view text = values.front();
    if (!absl::ConsumeSuffix(&text, "%") || !absl::SimpleAtod(text, &out)) return false;
    out /= 100;
    return true;
  };
}

}  // namespace

int main(int argc, char** argv) {
  seer::BeginProgram();
  seer::coordinator::ServerConfig config;
  std::string port_file, keep_logs = "30d", otlp_endpoint;
  seer::LogFormat log_format = seer::LogFormat::kText;
  CLI::App app{
      "Queues jobs, places their gangs on workers, keeps them alive and commits their checkpoints. "
      "One a cluster, or several on one PostgreSQL database, of which one leads."};
  app.set_version_flag("--version", SEER_VERSION);
  app.add_option("--listen", config.listen, "HOST:PORT to serve gRPC on; port 0 takes any free one")
      ->capture_default_str();
  seer::AddSecurityFlags(app, seer::SecurityRole::kServer, config.security);
  seer::AddAuthFlag(app, config.authenticate);
  app.add_option("--bootstrap-token-file", config.bootstrap_token_file,
                 "File with a secret of 32 characters or more that is an admin's token, to make "
                 "the first ones with");
  app.add_option("--oidc-issuer", config.oidc.issuer,
                 "URL of an OpenID Connect provider, as its tokens say it: they are taken, too");
  app.add_option("--oidc-audience", config.oidc.audience,
                 "Client id that its tokens must be meant for");
  app.add_option("--oidc-roles-claim", config.oidc.roles_claim,
                 "Claim of its tokens that says the roles, as groups or realm_access.roles")
      ->capture_default_str();
  app.add_option("--oidc-role", config.oidc.roles,
                 "VALUE=ROLE or VALUE=ROLE@queue:QUEUE or @pool:POOL: what a value of the claim "
                 "gives; may be repeated");
  app.add_option("--oidc-ca", config.oidc.ca,
                 "PEM file of the authorities of the provider's own certificate; default: the "
                 "machine's");
  app.add_option("--webhook-secret-file", config.webhook_secret_file,
                 "File with the key that signs posts to webhooks (HMAC-SHA256); default: none");
  app.add_option("--metrics", config.metrics, "HOST:PORT of the Prometheus endpoint /metrics")
      ->capture_default_str();
  app.add_option("--http", config.http,
                 "HOST:PORT of the dashboard and of the API as HTTP and JSON, for example "
                 "127.0.0.1:7071; default: none");
  app.add_option("--http-host", config.http_hosts,
                 "A name by which browsers reach the dashboard; may be given several times");
  app.add_flag("!--http-without-client-certificate", config.http_client_certificates,
               "Callers of --http need no certificate even with --tls-client-ca, as browsers "
               "seldom have one; they still show their tokens");
  app.add_option(
         "--database", config.database,
         "All jobs: a SQLite file, made if absent, or postgresql://USER@HOST:PORT/NAME, which "
         "several coordinators may share (password: PGPASSWORD or ~/.pgpass)")
      ->capture_default_str();
  app.add_option(
      "--logs", config.logs,
      "Folder for logs of ranks; default: logs/ beside the SQLite file, or in the working "
      "folder. Of several coordinators, one that all see");
  app.add_option("--keep-logs", keep_logs,
                 "How long logs of ended jobs are kept, for example 12h; 0: they go as their job "
                 "ends; forever")
      ->capture_default_str();
  app.add_option(
      "--advertise", config.advertise,
      "HOST:PORT where others reach this coordinator, for those that ask one that stands "
      "by; default: of --listen");
  seer::AddDuration(
      app, "--leader-lease", config.leader_lease,
      "Of several coordinators, one that leads is replaced after so long a silence [5s]");
  app.add_option(
      "--storage", config.storage,
      "Root of checkpoints, a path, file:///DIR or s3://BUCKET/PREFIX, as trainers see it too: "
      "<root>/<job>/checkpoints/<step>/. Needed to serve");
  app.add_option("--storage-low-watermark", ReadPercent(config.storage_low_watermark),
                 "With less of the storage's file system free, jobs are warned and keep no more "
                 "than checkpoint.keepLastWhenFull; 0% never [5%]")
      ->type_name("PERCENT");
  app.add_option("--dataservice", config.dataservices,
                 "HOST:PORT of a data service replica; may be given several times");
  seer::AddDuration(app, "--lease", config.lease,
                    "A worker that is silent for so long is given up, for example 15s [15s]");
  seer::AddDuration(app, "--heartbeat", config.heartbeat,
                    "How often agents report, for example 1s [1s]");
  app.add_option("--cordon-after", config.cordon_after,
                 "A worker that was the cause of so many failures of jobs within --cordon-window "
                 "is cordoned, as long as half of the machines are left; 0: never")
      ->check(seer::AtLeast(0))
      ->capture_default_str();
  seer::AddDuration(app, "--cordon-window", config.cordon_window,
                    "How long a failure counts against its worker, for example 1h [1h]");
  seer::AddDuration(
      app, "--hang-after", config.hang_after,
      "A gang that makes no step for so long, and for 20 of its usual steps, is looked at: "
      "one that hangs is ended and begins again from its checkpoint [30s]");
  seer::AddDuration(
      app, "--keep-devices", config.keep_devices,
      "How long a job that starts again has what is left of its devices to itself, for "
      "example 1m [30s]");
  seer::AddDuration(app, "--grow-after", config.grow_after,
                    "An elastic gang with fewer ranks than it wants (distributed.minRanks) begins "
                    "again with more once their devices have been free for so long [30s]");
  seer::AddDuration(app, "--grow-every", config.grow_every, "And not again for so long [5m]");
  seer::AddDuration(
      app, "--keep-jobs", config.keep_jobs,
      "How long jobs are kept after they ended, with their events, logs and curves; those "
      "that have checkpoints, or that others refer to, stay [90d]");
  seer::AddDuration(app, "--keep-events", config.keep_events, "How long events are kept [90d]");
  seer::AddTelemetryFlag(app, otlp_endpoint);
  app.add_option("--port-file", port_file,
                 "File to write \"GRPC_PORT METRICS_PORT HTTP_PORT\" to once serving; 0: none");
  seer::AddLogFormatFlag(app, log_format);
  app.footer(
      "Examples:\n"
      "  seer-coordinator --storage file:///data/checkpoints --dataservice 127.0.0.1:7080\n"
      "  seer-coordinator --listen 127.0.0.1:0 --port-file ports --database state/coordinator.db "
      "--storage "
      "state/storage \\\n"
      "      --dataservice 10.0.0.2:7080 --dataservice 10.0.0.3:7080 --log-format json\n"
      "  seer-coordinator --listen 0.0.0.0:7070 --database postgresql://seer@db:5432/seer "
      "--storage "
      "s3://runs/checkpoints --logs /shared/logs \\\n"
      "      --tls-cert tls.pem --tls-key tls.key --tls-ca ca.pem --auth tokens "
      "--bootstrap-token-file admin.token\n");
  int exit_code = 0;
  seer::coordinator::AddMaintenance(app, exit_code);
  app.callback([&] {
    if (app.get_subcommands().empty() && config.storage.empty())
      throw CLI::RequiredError("--storage");
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!app.get_subcommands().empty()) return exit_code;
  seer::InitLogging(log_format, seer::LogLevel::kInfo, {{"process", "coordinator"}});
  const auto keep = seer::coordinator::ParseKeepLogs(keep_logs);
  if (!keep.ok()) return seer::FailProgram(keep.status());
  config.keep_logs = *keep;
  const auto telemetry =
      seer::Telemetry::Start({.service = "seer-coordinator", .endpoint = otlp_endpoint});
  if (!telemetry.ok()) return seer::FailProgram(telemetry.status());
  auto server = seer::coordinator::CoordinatorServer::Start(config);
  if (!server.ok()) return seer::FailProgram(server.status());
  if (!port_file.empty()) {
    const absl::Status written = seer::WriteFileAtomically(
        port_file, absl::StrCat((*server)->port(), " ", (*server)->metrics_port(), " ",
                                (*server)->http_port()));
    if (!written.ok()) return seer::FailProgram(written);
  }
  seer::LogInfo("serving", {{"port", (*server)->port()},
                            {"metrics_port", (*server)->metrics_port()},
                            {"http_port", (*server)->http_port()},
                            {"database", *seer::coordinator::DatabaseName(config.database)},
                            {"storage", config.storage}});
  seer::WaitForTermination();
  seer::LogInfo("stopping");
  server->reset();
  return 0;
}
