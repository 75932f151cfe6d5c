#include "common/otlp/telemetry.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"
#include "common/otlp/exporter.h"
#include "common/trace/tracer.h"

namespace seer {
namespace {

constexpr const char* kExported = "seer_telemetry_exported_total";
constexpr const char* kDropped = "seer_telemetry_dropped_total";

// Whose numbers AddTelemetryMetrics shows: the process's one exporter, while there is one.
struct Running {
  absl::Mutex mu;
  const OtlpExporter* exporter ABSL_GUARDED_BY(mu) = nullptr;
};
Running& TheRunning() {
  static Running* running = new Running;
  return *running;
}

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string NewInstanceId() {
  absl::BitGen random;
  return absl::StrFormat("%016x%016x", absl::Uniform<uint64_t>(random),
                         absl::Uniform<uint64_t>(random));
}

void Put(ResourceAttributes& attributes, const std::string& key, const std::string& value) {
  const auto there = std::find_if(attributes.begin(), attributes.end(),
                                  [&key](const auto& one) { return one.first == key; });
  if (there != attributes.end()) {
    there->second = value;
  } else {
    attributes.emplace_back(key, value);
  }
}

ResourceAttributes ResourceOf(const TelemetryOptions& options, const OtlpSettings& settings) {
  ResourceAttributes attributes = {
      {"service.name", options.service},         {"service.version", SEER_VERSION},
      {"service.instance.id", NewInstanceId()},  {"host.name", HostName()},
      {"process.pid", absl::StrCat(::getpid())}, {"telemetry.sdk.name", "seer"},
      {"telemetry.sdk.language", "cpp"},         {"telemetry.sdk.version", SEER_VERSION}};
  for (const auto& [key, value] : options.attributes) Put(attributes, key, value);
  for (const auto& [key, value] : settings.resource) {
    if (!options.inherited || (key != "service.name" && key != "service.instance.id"))
      Put(attributes, key, value);
  }
  return attributes;
}

class Off final : public Telemetry {
 public:
  absl::Status Stop() override { return absl::OkStatus(); }
};

class On final : public Telemetry {
 public:
  On(std::unique_ptr<OtlpExporter> exporter, const OtlpSettings& settings, bool logs,
     absl::Duration flush_limit)
      : exporter_(std::move(exporter)), flush_limit_(flush_limit) {
    if (settings.traces) SetSpanRecorder(exporter_.get(), settings.sampler);
    if (logs) SetLogSink(exporter_.get());
    Show(exporter_.get());
  }
  ~On() override { Stop().IgnoreError(); }
  absl::Status Stop() override {
    if (exporter_ == nullptr) return absl::OkStatus();
    SetLogSink(nullptr);
    SetSpanRecorder(nullptr);
    exporter_->Stop(flush_limit_);
    const absl::Status failure = exporter_->failure();
    Show(nullptr);
    exporter_.reset();
    return failure;
  }

 private:
  static void Show(const OtlpExporter* exporter) {
    absl::MutexLock lock(&TheRunning().mu);
    TheRunning().exporter = exporter;
  }

  std::unique_ptr<OtlpExporter> exporter_;  // null: stopped
  const absl::Duration flush_limit_;
};

// The text exposition of one counter.
std::string CounterText(const std::string& name, const std::string& help, int64_t spans,
                        int64_t lines) {
  return absl::StrCat("# HELP ", name, " ", help, "\n# TYPE ", name, " counter\n", name,
                      "{signal=\"spans\"} ", spans, "\n", name, "{signal=\"logs\"} ", lines, "\n");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Telemetry>> Telemetry::Start(const TelemetryOptions& options) {
  SEER_ASSIGN_OR_RETURN(const OtlpSettings settings,
                        ReadOtlpSettings(FromEnvironment, options.endpoint));
  const bool logs = options.logs && settings.logs;
  if (settings.address.empty() || (!settings.traces && !logs)) return std::make_unique<Off>();
  SEER_ASSIGN_OR_RETURN(auto exporter,
                        OtlpExporter::Start(settings, ResourceOf(options, settings), options.logs));
  return std::make_unique<On>(std::move(exporter), settings, logs, options.flush_limit);
}

void AddTelemetryMetrics(MetricsRegistry& registry) {
  registry.AddSource([] {
    std::vector<MetricsText> texts;
    Running& running = TheRunning();
    absl::MutexLock lock(&running.mu);
    if (running.exporter == nullptr) return texts;
    const ExportCounts spans = running.exporter->spans(), lines = running.exporter->lines();
    texts.push_back(
        {absl::StrCat(
             CounterText(kExported, "Spans and log lines that a receiver of OTLP took.",
                         spans.exported, lines.exported),
             CounterText(kDropped, "Spans and log lines that found no room, or were refused.",
                         spans.dropped, lines.dropped)),
         {}});
    return texts;
  });
}

}  // namespace seer
