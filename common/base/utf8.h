// Text that must be UTF-8 (protobuf strings, JSON) but comes from files, names and other programs.
// Pure.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace seer {

// How many bytes at the start of `text` are whole UTF-8 characters.
size_t ValidUtf8Length(absl::string_view text);

// `text` with each byte that is not part of UTF-8 replaced by U+FFFD.
std::string ToValidUtf8(absl::string_view text);

// At most `max_bytes` of `text`, not cut within a character.
absl::string_view Utf8Prefix(absl::string_view text, size_t max_bytes);

}  // namespace seer
