// Keeps callers off a storage that only fails: open after many failures in a row, then one caller
// at a time probes it, and the first answer closes it for all. Thread-safe; owns no thread and no
// clock: times are Clock::Steady().
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace seer {

class CircuitBreaker {
 public:
  enum class State { kClosed, kHalfOpen, kOpen };
  struct Options {
    int failures = 20;                           // in a row, then it opens
    absl::Duration open_for = absl::Seconds(5);  // until a probe is let through
  };
  struct Answer {
    bool admitted = false;
    absl::Duration wait;  // refused: ask again after it
  };

  explicit CircuitBreaker(const Options& options) : options_(options) {}

  // Whoever is admitted reports what came of it by Record, once.
  Answer Admit(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_);
  // `success`: the storage answered, if only to refuse. Returns the state after it.
  State Record(bool success, absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const Options options_;
  absl::Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kClosed;
  int failures_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration probe_at_ ABSL_GUARDED_BY(mu_);
};

}  // namespace seer
