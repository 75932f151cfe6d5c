#include "common/base/duration.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace seer {

bool ParseDurationOrDays(absl::string_view text, absl::Duration* out) {
  absl::string_view days = text;
  if (!absl::ConsumeSuffix(&days, "d")) return absl::ParseDuration(text, out);
  if (days.find_first_not_of("0123456789.") != absl::string_view::npos ||
      !absl::ParseDuration(absl::StrCat(days, "h"), out))
    return false;
  *out *= 24;
  return true;
}

}  // namespace seer
