// Durations as people write them for a program's flags. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace seer {

// As absl::ParseDuration, and days: "90d", "1.5d". False: it is no duration.
bool ParseDurationOrDays(absl::string_view text, absl::Duration* out);

// What a duration of a flag may be, both ends taken.
struct DurationRange {
  absl::Duration least = absl::ZeroDuration();
  absl::Duration most = absl::InfiniteDuration();
};
inline constexpr DurationRange kAboveZero = {.least = absl::Nanoseconds(1)};

// What `flag` ("--timeout") was given, as ParseDurationOrDays reads it. INVALID_ARGUMENT with
// WRONG_TYPE or OUT_OF_RANGE, whose text names the flag: it is no duration, or not in the range.
absl::StatusOr<absl::Duration> ReadDurationFlag(absl::string_view flag, absl::string_view text,
                                                DurationRange range = {});

}  // namespace seer
