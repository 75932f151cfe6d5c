// A process's traces and logs on their way to a receiver of OTLP: what every main() begins with,
// after its flags and InitLogging. Without an endpoint there is no thread, and nothing is recorded.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/metrics/registry.h"
#include "common/otlp/settings.h"

namespace seer {

struct TelemetryOptions {
  std::string service = {};   // service.name unless the environment names it: "seer-coordinator"
  std::string endpoint = {};  // of --otlp-endpoint; empty: the environment's
  // Of the resource besides, as job and rank of a trainer.
  ResourceAttributes attributes = {};
  // The environment is another program's: what it says of the service's name and instance is not
  // of this one.
  bool inherited = false;
  bool logs = true;                               // not of a command line, which prints for people
  absl::Duration flush_limit = absl::Seconds(3);  // at the end
};

class Telemetry {
 public:
  // Records from now on, if there is an endpoint. INVALID_ARGUMENT: errors of ReadOtlpSettings and
  // OtlpExporter::Start.
  static absl::StatusOr<std::unique_ptr<Telemetry>> Start(const TelemetryOptions& options);
  virtual ~Telemetry() = default;  // as Stop
  // Records no more, and sends what waits, for the flush limit at most. Says why the newest call
  // failed, if it did.
  virtual absl::Status Stop() = 0;
};

// seer_telemetry_*_total of this process: absent while nothing is exported.
void AddTelemetryMetrics(MetricsRegistry& registry);

}  // namespace seer
