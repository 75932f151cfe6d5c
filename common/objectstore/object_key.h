// What every store takes as the key of an object.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace seer {

// Not empty, relative, without zero bytes, empty parts, "." and ".."; no part starts with
// `reserved`, if that is not empty. INVALID_ARGUMENT.
absl::Status CheckObjectKey(absl::string_view key, absl::string_view reserved = "");

}  // namespace seer
