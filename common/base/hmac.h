// HMAC-SHA256 (RFC 2104): who knows the key can tell that a message is ours.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace seer {

// In hex.
std::string HmacSha256Hex(absl::string_view key, absl::string_view message);

}  // namespace seer
