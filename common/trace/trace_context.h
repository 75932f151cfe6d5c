// Which trace a piece of work belongs to, and how processes tell one another: the header
// `traceparent` of W3C Trace Context, level 1. `tracestate` is not handed on, as that allows. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace seer {

struct TraceContext {
  uint64_t trace_high = 0, trace_low = 0;  // the 16 bytes of the trace's id; both 0: none
  uint64_t span = 0;                       // the span's id; 0: none
  bool sampled = false;                    // it is recorded

  bool valid() const { return (trace_high != 0 || trace_low != 0) && span != 0; }
  bool operator==(const TraceContext&) const = default;
};

// The header's name, in gRPC's metadata as well.
inline constexpr const char* kTraceparent = "traceparent";

// "00-<32 hex digits>-<16 hex digits>-01", or "-00" if it is not sampled; of one that is not valid
// an empty string.
std::string FormatTraceparent(const TraceContext& context);

// nullopt: not a header of level 1, or of a later version of it; all zeros, upper case, and
// characters too many are none.
std::optional<TraceContext> ParseTraceparent(absl::string_view text);

// As ParseTraceparent; what is none is a context that is not valid.
TraceContext TraceContextOf(absl::string_view traceparent);

}  // namespace seer
