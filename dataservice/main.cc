// seer-dataservice: flags -> ServerConfig, then serves until SIGTERM.
#include <CLI/CLI.hpp>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "dataservice/server.h"

int main(int argc, char** argv) {
  seer::BlockTerminationSignals();
  seer::dataservice::ServerConfig config;
  std::string port_file;
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
  app.add_option("--port-file", port_file,
                 "File to write \"GRPC_PORT METRICS_PORT\" to once serving");
  app.add_option("--log-format", log_format, "text or json")
      ->transform(CLI::CheckedTransformer(std::map<std::string, seer::LogFormat>{
          {"text", seer::LogFormat::kText}, {"json", seer::LogFormat::kJson}}));
  app.footer(
      "Examples:\n  seer-dataservice --pools file:///data/pools\n  seer-dataservice --pools "
      "/data/pools --listen 127.0.0.1:0 --port-file ports\n  seer-dataservice --pools "
      "'s3://photos/pools?region=eu-west-1'");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  seer::InitLogging(log_format, seer::LogLevel::kInfo, {{"process", "dataservice"}});
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
