// Waits that take as long as they say also when the machine's clock is set: absl's own timed waits
// end at a time of the wall clock, and one that is set back by an hour makes them an hour longer.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace seer {

// As mu.AwaitWithTimeout: waits, without the mutex meanwhile, until `condition` holds or `timeout`
// has passed by the steady clock. Whether it holds then. `condition` must not wait itself.
bool AwaitFor(absl::Mutex& mu, const absl::Condition& condition, absl::Duration timeout)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

}  // namespace seer
