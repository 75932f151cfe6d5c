#include "common/otlp/settings.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

constexpr const char* kEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";

absl::Status Wrong(const std::string& field, const std::string& what, const std::string& hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat(field, ": ", what))
      .Field(field)
      .Hint(hint);
}

// "%41" -> "A"; false: '%' without two hex digits.
bool PercentDecode(absl::string_view text, std::string& out) {
  const auto digit = [](char c) {
    return absl::ascii_isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(text[i + 1]) ||
        !absl::ascii_isxdigit(text[i + 2]))
      return false;
    out.push_back(static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])));
    i += 2;
  }
  return true;
}

// "key=value,key=value" with percent-encoded values. The text itself is not repeated in the error:
// headers are secrets.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadPairs(
    const std::string& variable, absl::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  int number = 0;
  for (absl::string_view pair : absl::StrSplit(text, ',')) {
    pair = absl::StripAsciiWhitespace(pair);
    ++number;
    if (pair.empty()) continue;
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    const absl::string_view key = absl::StripAsciiWhitespace(parts.first);
    std::string value;
    if (key.empty() || !absl::StrContains(pair, '=') ||
        !PercentDecode(absl::StripAsciiWhitespace(parts.second), value)) {
      return Wrong(variable, absl::StrCat("its entry ", number, " is no KEY=VALUE"),
                   "KEY=VALUE,KEY=VALUE, commas and spaces within a value as %2C and %20");
    }
    pairs.emplace_back(key, std::move(value));
  }
  return pairs;
}

absl::Status ReadEndpoint(const std::string& field, absl::string_view text, OtlpSettings& out) {
  absl::string_view rest = text;
  out.tls = absl::ConsumePrefix(&rest, "https://");
  const bool plain = !out.tls && absl::ConsumePrefix(&rest, "http://");
  absl::ConsumeSuffix(&rest, "/");
  const size_t colon = rest.rfind(':');
  int port = 0;
  const bool sound =
      (out.tls || plain) && !absl::StrContains(rest, '/') && !absl::StrContains(rest, '@') &&
      !rest.empty() && colon != 0 &&
      (colon == absl::string_view::npos ||
       (absl::SimpleAtoi(rest.substr(colon + 1), &port) && port > 0 && port <= 65535));
  if (!sound) {
    return Wrong(field, absl::StrCat("'", text, "' is no endpoint of OTLP over gRPC"),
                 "http://HOST:PORT, or https://HOST:PORT with TLS, without a path; collectors "
                 "listen on port 4317");
  }
  out.address = colon == absl::string_view::npos ? absl::StrCat(rest, ":4317") : std::string(rest);
  return absl::OkStatus();
}

// OTEL_TRACES_EXPORTER and OTEL_LOGS_EXPORTER.
absl::Status ReadExporter(const Environment& environment, const char* variable, bool& on) {
  const std::string name = environment(variable);
  on = name.empty() || name == "otlp";
  if (on || name == "none") return absl::OkStatus();
  return Wrong(variable, absl::StrCat("there is no exporter '", name, "'"), "otlp or none");
}

}  // namespace

absl::StatusOr<OtlpSettings> ReadOtlpSettings(const Environment& environment,
                                              const std::string& endpoint) {
  OtlpSettings settings;
  // Any other value, as the specification wants it, means false.
  if (absl::EqualsIgnoreCase(environment("OTEL_SDK_DISABLED"), "true")) return settings;
  const std::string from_environment = environment(kEndpoint);
  if (endpoint.empty() && from_environment.empty()) return settings;
  SEER_RETURN_IF_ERROR(endpoint.empty() ? ReadEndpoint(kEndpoint, from_environment, settings)
                                        : ReadEndpoint("otlp-endpoint", endpoint, settings));
  if (const std::string protocol = environment("OTEL_EXPORTER_OTLP_PROTOCOL");
      !protocol.empty() && protocol != "grpc") {
    return Wrong("OTEL_EXPORTER_OTLP_PROTOCOL",
                 absl::StrCat("'", protocol, "' is a protocol that is not spoken here"),
                 "grpc; collectors take it on port 4317");
  }
  if (const std::string timeout = environment("OTEL_EXPORTER_OTLP_TIMEOUT"); !timeout.empty()) {
    int64_t milliseconds = 0;
    if (!absl::SimpleAtoi(timeout, &milliseconds) || milliseconds <= 0) {
      return Wrong("OTEL_EXPORTER_OTLP_TIMEOUT", absl::StrCat("'", timeout, "' is no time"),
                   "milliseconds, more than 0; the default is 10000");
    }
    settings.timeout = absl::Milliseconds(milliseconds);
  }
  settings.certificate = environment("OTEL_EXPORTER_OTLP_CERTIFICATE");
  if (!settings.certificate.empty() && !settings.tls) {
    return Wrong("OTEL_EXPORTER_OTLP_CERTIFICATE", "it needs an endpoint with TLS",
                 absl::StrCat("write ", kEndpoint, " as https://HOST:PORT"));
  }
  SEER_ASSIGN_OR_RETURN(settings.headers, ReadPairs("OTEL_EXPORTER_OTLP_HEADERS",
                                                    environment("OTEL_EXPORTER_OTLP_HEADERS")));
  for (auto& [name, value] : settings.headers) {
    name = absl::AsciiStrToLower(name);
    const bool printable =
        std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
    const bool named = std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
    });
    if (!printable || !named) {
      return Wrong("OTEL_EXPORTER_OTLP_HEADERS",
                   absl::StrCat("the header '", name, "' has characters that none may have"),
                   "names of letters, digits, '-', '_' and '.', values of printable ASCII");
    }
  }
  SEER_RETURN_IF_ERROR(ReadExporter(environment, "OTEL_TRACES_EXPORTER", settings.traces));
  SEER_RETURN_IF_ERROR(ReadExporter(environment, "OTEL_LOGS_EXPORTER", settings.logs));
  SEER_ASSIGN_OR_RETURN(settings.sampler, ParseSampler(environment("OTEL_TRACES_SAMPLER"),
                                                       environment("OTEL_TRACES_SAMPLER_ARG")));
  SEER_ASSIGN_OR_RETURN(settings.resource, ReadPairs("OTEL_RESOURCE_ATTRIBUTES",
                                                     environment("OTEL_RESOURCE_ATTRIBUTES")));
  if (const std::string name = environment("OTEL_SERVICE_NAME"); !name.empty())
    settings.resource.emplace_back("service.name", name);
  return settings;
}

}  // namespace seer
