// Which traces are recorded, as OTEL_TRACES_SAMPLER names it: always_on, always_off, traceidratio,
// and with "parentbased_" before it. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/trace/trace_context.h"

namespace seer {

struct Sampler {
  bool parent_based = true;  // a span of a trace that was decided on is as that was
  double ratio = 1;          // of the traces, 0 to 1

  // Of a span of the trace of `trace` (its span is not looked at). `parent`: not valid at a root.
  bool Records(const TraceContext& trace, const TraceContext& parent) const;
};

// `name`: empty: parentbased_always_on. `argument`: of a ratio, empty: 1; of others it is not
// looked at. INVALID_ARGUMENT at the variable, with the names that there are.
absl::StatusOr<Sampler> ParseSampler(absl::string_view name, absl::string_view argument);

}  // namespace seer
