#include "common/trace/sampler.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"

namespace seer {

bool Sampler::Records(const TraceContext& trace, const TraceContext& parent) const {
  if (parent_based && parent.valid()) return parent.sampled;
  if (ratio >= 1) return true;
  // By the low bits of the trace's id, which all processes see: they decide alike.
  return static_cast<double>(trace.trace_low >> 11) < ratio * std::ldexp(1.0, 53);
}

absl::StatusOr<Sampler> ParseSampler(absl::string_view name, absl::string_view argument) {
  Sampler sampler;
  if (name.empty()) return sampler;
  absl::string_view kind = name;
  sampler.parent_based = absl::ConsumePrefix(&kind, "parentbased_");
  if (kind == "always_on") return sampler;
  if (kind == "always_off") {
    sampler.ratio = 0;
    return sampler;
  }
  if (kind != "traceidratio") {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("OTEL_TRACES_SAMPLER: there is no sampler '", name, "'"))
        .Field("OTEL_TRACES_SAMPLER")
        .Hint(
            "one of always_on, always_off, traceidratio, parentbased_always_on, "
            "parentbased_always_off, parentbased_traceidratio");
  }
  if (argument.empty()) return sampler;
  if (!absl::SimpleAtod(argument, &sampler.ratio) || !(sampler.ratio >= 0 && sampler.ratio <= 1)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("OTEL_TRACES_SAMPLER_ARG: '", argument, "' is no ratio"))
        .Field("OTEL_TRACES_SAMPLER_ARG")
        .Hint("a number from 0 to 1: the share of traces that are recorded, for example 0.1");
  }
  return sampler;
}

}  // namespace seer
