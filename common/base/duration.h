// Durations as people write them for a program's flags.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace seer {

// As absl::ParseDuration, and days: "90d", "1.5d". False: it is no duration.
bool ParseDurationOrDays(absl::string_view text, absl::Duration* out);

}  // namespace seer
