// Text of trainers as protobuf can carry it: what is not UTF-8 would break the stream to the
// coordinator. Pure.
#pragma once

#include <cstddef>
#include <string>

namespace seer::worker {

// Control characters but tabs become spaces, each byte that is not part of UTF-8 becomes U+FFFD,
// and what lies beyond `max_bytes` is cut off between characters.
std::string CleanText(std::string text, size_t max_bytes = std::string::npos);

}  // namespace seer::worker
