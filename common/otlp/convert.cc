#include "common/otlp/convert.h"

#include "absl/strings/string_view.h"
#include "common/base/utf8.h"

namespace seer {
namespace {

namespace otlp = opentelemetry::proto;

std::string Text(absl::string_view text) {
  return std::string(Utf8Prefix(ToValidUtf8(text), kMostTextBytes));
}

// The `bytes` low bytes of a number, the highest first: ids as OTLP has them.
std::string Bytes(uint64_t number) {
  std::string bytes(sizeof(number), '\0');
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(number >> (8 * (bytes.size() - 1 - i)));
  return bytes;
}
std::string TraceId(const TraceContext& context) {
  return Bytes(context.trace_high) + Bytes(context.trace_low);
}

uint64_t Nanos(absl::Time time) { return static_cast<uint64_t>(absl::ToUnixNanos(time)); }

template <typename Message>
void AddAttribute(Message& to, absl::string_view key, absl::string_view value) {
  otlp::common::v1::KeyValue& attribute = *to.add_attributes();
  attribute.set_key(Text(key));
  attribute.mutable_value()->set_string_value(Text(value));
}

void AddAttribute(otlp::trace::v1::Span& to, const SpanAttribute& from) {
  otlp::common::v1::KeyValue& attribute = *to.add_attributes();
  attribute.set_key(from.first);
  otlp::common::v1::AnyValue& value = *attribute.mutable_value();
  if (const auto* text = std::get_if<std::string>(&from.second))
    value.set_string_value(Text(*text));
  if (const auto* number = std::get_if<int64_t>(&from.second)) value.set_int_value(*number);
  if (const auto* number = std::get_if<double>(&from.second)) value.set_double_value(*number);
  if (const auto* yes = std::get_if<bool>(&from.second)) value.set_bool_value(*yes);
}

template <typename Of>
void SetSource(Of& of, const ResourceAttributes& resource) {
  for (const auto& [key, value] : resource) AddAttribute(*of.mutable_resource(), key, value);
}

template <typename Scope>
void SetScope(Scope& scope) {
  scope.mutable_scope()->set_name("seer");
  scope.mutable_scope()->set_version(SEER_VERSION);
}

}  // namespace

otlp::collector::trace::v1::ExportTraceServiceRequest ToOtlp(const std::vector<SpanRecord>& spans,
                                                             const ResourceAttributes& resource) {
  otlp::collector::trace::v1::ExportTraceServiceRequest request;
  auto& of_resource = *request.add_resource_spans();
  SetSource(of_resource, resource);
  auto& scope = *of_resource.add_scope_spans();
  SetScope(scope);
  for (const SpanRecord& span : spans) {
    otlp::trace::v1::Span& out = *scope.add_spans();
    out.set_trace_id(TraceId(span.context));
    out.set_span_id(Bytes(span.context.span));
    if (span.parent_span != 0) out.set_parent_span_id(Bytes(span.parent_span));
    out.set_flags(1);
    out.set_name(Text(span.name));
    out.set_kind(static_cast<otlp::trace::v1::Span::SpanKind>(span.kind));
    out.set_start_time_unix_nano(Nanos(span.start));
    out.set_end_time_unix_nano(Nanos(span.end));
    for (const SpanAttribute& attribute : span.attributes) AddAttribute(out, attribute);
    if (!span.failed) continue;
    out.mutable_status()->set_code(otlp::trace::v1::Status::STATUS_CODE_ERROR);
    out.mutable_status()->set_message(Text(span.message));
  }
  return request;
}

otlp::collector::logs::v1::ExportLogsServiceRequest ToOtlp(const std::vector<LogLine>& lines,
                                                           const ResourceAttributes& resource) {
  using otlp::logs::v1::SeverityNumber;
  static constexpr std::pair<SeverityNumber, const char*> kSeverities[] = {
      {SeverityNumber::SEVERITY_NUMBER_DEBUG, "DEBUG"},
      {SeverityNumber::SEVERITY_NUMBER_INFO, "INFO"},
      {SeverityNumber::SEVERITY_NUMBER_WARN, "WARN"},
      {SeverityNumber::SEVERITY_NUMBER_ERROR, "ERROR"}};
  otlp::collector::logs::v1::ExportLogsServiceRequest request;
  auto& of_resource = *request.add_resource_logs();
  SetSource(of_resource, resource);
  auto& scope = *of_resource.add_scope_logs();
  SetScope(scope);
  for (const LogLine& line : lines) {
    otlp::logs::v1::LogRecord& out = *scope.add_log_records();
    out.set_time_unix_nano(Nanos(line.time));
    out.set_observed_time_unix_nano(Nanos(line.time));
    const auto& [number, text] = kSeverities[static_cast<size_t>(line.level)];
    out.set_severity_number(number);
    out.set_severity_text(text);
    out.set_event_name(Text(line.event));
    out.mutable_body()->set_string_value(Text(line.event));
    for (const auto& [key, value] : line.fields) AddAttribute(out, key, value);
    if (!line.trace.valid()) continue;
    out.set_trace_id(TraceId(line.trace));
    out.set_span_id(Bytes(line.trace.span));
    out.set_flags(line.trace.sampled ? 1 : 0);
  }
  return request;
}

}  // namespace seer
