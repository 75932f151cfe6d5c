// Times in a pool's JSON files: RFC 3339 in UTC.
#pragma once

#include <stdexcept>
#include <string>

#include "absl/time/time.h"

namespace seer::dataservice {

inline std::string TimeText(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone());
}

// Throws std::invalid_argument, as the JSON library does for what it cannot read.
inline absl::Time ReadTime(const std::string& text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error))
    throw std::invalid_argument("time " + text + ": " + error);
  return time;
}

}  // namespace seer::dataservice
