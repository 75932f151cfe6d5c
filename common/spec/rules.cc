#include "common/spec/rules.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "common/base/error.h"

namespace seer {

absl::Status Broken(absl::string_view field, const std::string& value, const std::string& allowed,
                    absl::string_view hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat(field, " is ", value, ", must be ", allowed))
      .Field(field)
      .Hint(hint.empty() ? absl::StrCat(field, " may be ", allowed) : std::string(hint))
      .With("value", value)
      .With("allowed", allowed);
}

absl::Status Missing(absl::string_view field, absl::string_view hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField,
               absl::StrCat(field, " is not set"))
      .Field(field)
      .Hint(hint);
}

absl::Status AtLeast(absl::string_view field, int64_t value, int64_t low) {
  return value >= low ? absl::OkStatus()
                      : Broken(field, absl::StrCat(value), absl::StrCat("at least ", low));
}

absl::Status Positive(absl::string_view field, double value) {
  return value > 0 && std::isfinite(value) ? absl::OkStatus()
                                           : Broken(field, absl::StrCat(value), "above 0");
}

absl::Status NotNegative(absl::string_view field, double value) {
  return value >= 0 && std::isfinite(value) ? absl::OkStatus()
                                            : Broken(field, absl::StrCat(value), "at least 0");
}

absl::Status CheckName(absl::string_view field, const std::string& name) {
  bool good = !name.empty() && name.size() <= 63 && name.front() != '-' && name.back() != '-';
  for (char c : name)
    good = good && (absl::ascii_islower(static_cast<unsigned char>(c)) ||
                    absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-');
  if (good) return absl::OkStatus();
  return Broken(field, absl::StrCat("'", name, "'"),
                "1 to 63 of a-z, 0-9 and '-', not at the ends");
}

}  // namespace seer
