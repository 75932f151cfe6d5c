#include "common/trace/trace_context.h"

#include "absl/strings/str_format.h"

namespace seer {
namespace {

// The parts of "VV-TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT-SSSSSSSSSSSSSSSS-FF".
constexpr size_t kTraceAt = 3, kSpanAt = 36, kFlagsAt = 53, kLength = 55;
constexpr uint64_t kSampledFlag = 1;

// `digits` lower-case hex digits from `at` on.
std::optional<uint64_t> Hex(absl::string_view text, size_t at, size_t digits) {
  uint64_t value = 0;
  for (const char c : text.substr(at, digits)) {
    const bool number = c >= '0' && c <= '9';
    if (!number && (c < 'a' || c > 'f')) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(number ? c - '0' : c - 'a' + 10);
  }
  return value;
}

}  // namespace

std::string FormatTraceparent(const TraceContext& context) {
  if (!context.valid()) return "";
  return absl::StrFormat("00-%016x%016x-%016x-%02x", context.trace_high, context.trace_low,
                         context.span, context.sampled ? 1 : 0);
}

std::optional<TraceContext> ParseTraceparent(absl::string_view text) {
  if (text.size() < kLength) return std::nullopt;
  if (text[kTraceAt - 1] != '-' || text[kSpanAt - 1] != '-' || text[kFlagsAt - 1] != '-')
    return std::nullopt;
  const auto version = Hex(text, 0, 2);
  if (!version || *version == 0xff) return std::nullopt;
  // A later version may have more after another '-'.
  if (text.size() > kLength && (*version == 0 || text[kLength] != '-')) return std::nullopt;
  const auto high = Hex(text, kTraceAt, 16), low = Hex(text, kTraceAt + 16, 16);
  const auto span = Hex(text, kSpanAt, 16), flags = Hex(text, kFlagsAt, 2);
  if (!high || !low || !span || !flags) return std::nullopt;
  const TraceContext context{*high, *low, *span, (*flags & kSampledFlag) != 0};
  if (!context.valid()) return std::nullopt;
  return context;
}

TraceContext TraceContextOf(absl::string_view traceparent) {
  return ParseTraceparent(traceparent).value_or(TraceContext());
}

}  // namespace seer
