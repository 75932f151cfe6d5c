#include "common/base/backoff.h"

#include <algorithm>

#include "absl/random/random.h"

namespace seer {

absl::Duration Jitter(absl::Duration bound) {
  static thread_local absl::BitGen random;
  return bound * absl::Uniform(random, 0.0, 1.0);
}

absl::Duration Backoff::Next() {
  const absl::Duration wait = Jitter(std::min(bound_, max_));
  bound_ = std::min(bound_ * 2, max_);
  return wait;
}

}  // namespace seer
