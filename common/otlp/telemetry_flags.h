// The command line of telemetry, the same for every server.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace seer {

// --otlp-endpoint; `endpoint` outlives `app`.
void AddTelemetryFlag(CLI::App& app, std::string& endpoint);

}  // namespace seer
