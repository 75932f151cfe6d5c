#include "common/base/duration.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"

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

absl::StatusOr<absl::Duration> ReadDurationFlag(absl::string_view flag, absl::string_view text,
                                                DurationRange range) {
  absl::Duration read;
  if (!ParseDurationOrDays(text, &read)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kWrongType,
                 absl::StrCat(flag, ": '", text, "' is not a duration"))
        .Field(flag)
        .Hint("write a number and its unit, such as 90s, 5m, 36h or 7d");
  }
  if (read >= range.least && read <= range.most) return read;
  const std::string limit =
      read > range.most ? absl::StrCat("is longer than ", absl::FormatDuration(range.most))
      : range.least == kAboveZero.least
          ? "is not above zero"
          : absl::StrCat("is shorter than ", absl::FormatDuration(range.least));
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat(flag, ": '", text, "' ", limit))
      .Field(flag)
      .Hint("write a number and its unit, such as 90s, 5m, 36h or 7d");
}

}  // namespace seer
