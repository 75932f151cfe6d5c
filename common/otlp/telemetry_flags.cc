#include "common/otlp/telemetry_flags.h"

#include <CLI/CLI.hpp>

namespace seer {

void AddTelemetryFlag(CLI::App& app, std::string& endpoint) {
  app.add_option("--otlp-endpoint", endpoint,
                 "http://HOST:PORT or https://HOST:PORT of an OpenTelemetry collector that takes "
                 "traces and logs over gRPC; default: OTEL_EXPORTER_OTLP_ENDPOINT, without it "
                 "nothing is sent (docs/tracing.md)");
}

}  // namespace seer
