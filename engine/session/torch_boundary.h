// The one place where exceptions of tensor code become statuses. No torch in this header.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace seer::engine {

// Call inside a catch block. Out of memory -> RESOURCE_EXHAUSTED with OUT_OF_MEMORY; collectives,
// store and network -> UNAVAILABLE with COLLECTIVE_FAILED; the rest -> INTERNAL.
absl::Status StatusOfCurrentException(absl::string_view doing);

// Runs `body`, which returns a Status or StatusOr, and turns what it throws into a status.
// `doing`: for the message.
template <typename Body>
auto AtTorchBoundary(absl::string_view doing, Body&& body) -> decltype(body()) {
  try {
    return std::forward<Body>(body)();
  } catch (...) {
    return StatusOfCurrentException(doing);
  }
}

}  // namespace seer::engine
