// What records of all kinds are made of: for record_json and source_records.
#pragma once

#include <cstdint>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/error.h"

namespace seer::coordinator {

inline int64_t Micros(absl::Time time) {
  return time == absl::InfinitePast() ? 0 : absl::ToUnixMicros(time);
}
inline absl::Time FromMicros(int64_t micros) {
  return micros == 0 ? absl::InfinitePast() : absl::FromUnixMicros(micros);
}

// A number that JSON cannot hold (a loss that is not finite) is written as null.
inline double Number(const nlohmann::json& in) {
  return in.is_number() ? in.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

// A number of an enumeration from `low` to `high`; throws like the parser does.
template <typename Enum>
Enum EnumFrom(const nlohmann::json& in, Enum low, Enum high) {
  const int value = in.get<int>();
  if (value < static_cast<int>(low) || value > static_cast<int>(high))
    throw std::out_of_range(absl::StrCat("no state ", value));
  return static_cast<Enum>(value);
}

inline absl::Status Corrupt(const char* what, const std::exception& error) {
  return Error(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt,
               absl::StrCat("a ", what, "'s record cannot be read: ", error.what()))
      .Hint("restore the database from a backup");
}

inline std::string Dump(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace seer::coordinator
