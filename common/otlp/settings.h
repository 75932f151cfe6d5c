// What the environment says about telemetry: OpenTelemetry's standard variables. Pure.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/trace/sampler.h"

namespace seer {

// What is said of a process: "service.name" and the like, and what that is.
using ResourceAttributes = std::vector<std::pair<std::string, std::string>>;

struct OtlpSettings {
  // As gRPC takes it, "host:port"; empty: nothing is exported.
  std::string address;
  bool tls = false;
  std::string certificate;  // PEM file of the receiver's authorities; empty: the machine's
  std::vector<std::pair<std::string, std::string>> headers;  // of each call, names in lower case
  absl::Duration timeout = absl::Seconds(10);                // of each call
  bool traces = true, logs = true;
  Sampler sampler;
  // Of the resource, OTEL_SERVICE_NAME among them; a later one of the same name counts.
  ResourceAttributes resource;
};

// The value of an environment variable, empty: it is not set.
using Environment = std::function<std::string(const char* name)>;

// `endpoint`: a flag's, in the place of OTEL_EXPORTER_OTLP_ENDPOINT; empty: not given.
// INVALID_ARGUMENT at the flag or variable.
absl::StatusOr<OtlpSettings> ReadOtlpSettings(const Environment& environment,
                                              const std::string& endpoint);

}  // namespace seer
