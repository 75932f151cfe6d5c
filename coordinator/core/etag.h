// Records that clients change carry a number that grows with every change: their etag.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/error.h"

namespace seer::coordinator {

// ABORTED with ETAG_MISMATCH. `noun`: "queue".
inline absl::Status ChangedMeanwhile(absl::string_view noun, const std::string& name) {
  return Error(absl::StatusCode::kAborted, reason::kEtagMismatch,
               absl::StrCat(noun, " '", name, "' was changed meanwhile"))
      .Field("etag")
      .Hint(absl::StrCat("look at it again: `seer ", noun, " describe ", name, "`"))
      .With(noun, name);
}

// `wanted`: as the client saw it; 0: whatever it is.
inline absl::Status CheckEtag(absl::string_view noun, const std::string& name, int64_t wanted,
                              int64_t is) {
  return wanted == 0 || wanted == is ? absl::OkStatus() : ChangedMeanwhile(noun, name);
}

}  // namespace seer::coordinator
