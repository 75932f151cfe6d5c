// Etags of records that count their changes (coordinator/core/etag.h).
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"

namespace seer::coordinator {

// What an etag stands for, 0 for an empty one; -1: it was never given out, and is of no state.
inline int64_t ChangesOf(const std::string& etag) {
  int64_t changes = 0;
  if (etag.empty()) return 0;
  return absl::SimpleAtoi(etag, &changes) && changes > 0 ? changes : -1;
}

}  // namespace seer::coordinator
