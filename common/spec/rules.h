// The forms that rules of a spec come in. Each gives OK, or INVALID_ARGUMENT that names the field,
// its value, what is allowed and a hint.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// OUT_OF_RANGE. Without a hint: to set the field to what is allowed.
absl::Status Broken(absl::string_view field, const std::string& value, const std::string& allowed,
                    absl::string_view hint = "");
// MISSING_FIELD.
absl::Status Missing(absl::string_view field, absl::string_view hint);

template <typename Number>
absl::Status InRange(absl::string_view field, Number value, Number low, Number high) {
  if (value >= low && value <= high) return absl::OkStatus();  // false also for NaN
  return Broken(field, absl::StrCat(value), absl::StrCat("from ", low, " to ", high));
}

absl::Status AtLeast(absl::string_view field, int64_t value, int64_t low);
absl::Status Positive(absl::string_view field, double value);
absl::Status NotNegative(absl::string_view field, double value);
// 1 to 63 of a-z, 0-9 and '-', not at the ends.
absl::Status CheckName(absl::string_view field, const std::string& name);

}  // namespace seer
