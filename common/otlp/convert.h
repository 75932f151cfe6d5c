// Spans and log lines as OTLP's messages. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/log.h"
#include "common/otlp/settings.h"
#include "common/trace/tracer.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"

namespace seer {

struct LogLine {
  absl::Time time;
  LogLevel level = LogLevel::kInfo;
  std::string event;
  LogFields fields;    // the common ones first
  TraceContext trace;  // of the thread that wrote it; not valid: none
};

// Texts become valid UTF-8 and are cut to kMostTextBytes.
inline constexpr size_t kMostTextBytes = 16 << 10;
opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest ToOtlp(
    const std::vector<SpanRecord>& spans, const ResourceAttributes& resource);
opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest ToOtlp(
    const std::vector<LogLine>& lines, const ResourceAttributes& resource);

}  // namespace seer
