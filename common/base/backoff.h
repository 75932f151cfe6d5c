// Waits between attempts, with full jitter: uniform in [0, bound), where the bound doubles.
// Not thread-safe: one a call.
#pragma once

#include "absl/time/time.h"

namespace seer {

// Uniform in [0, bound). Thread-safe.
absl::Duration Jitter(absl::Duration bound);

class Backoff {
 public:
  Backoff(absl::Duration first, absl::Duration max) : bound_(first), max_(max) {}
  // The wait before the next attempt; the first is below `first`, none is above `max`.
  absl::Duration Next();

 private:
  absl::Duration bound_;
  const absl::Duration max_;
};

}  // namespace seer
