// The only source of time. Programs take a Clock& by constructor; tests pass a FakeClock.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace seer {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;  // wall time, for records; may jump
  // Since an arbitrary start; never goes back: for deadlines and durations.
  virtual absl::Duration Steady() = 0;

  static Clock& Real();  // thread-safe
};

// Stands still until told to move. Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::UnixEpoch() + absl::Hours(24 * 365 * 50))
      : now_(start), start_(start) {}
  absl::Time Now() override ABSL_LOCKS_EXCLUDED(mu_);
  absl::Duration Steady() override ABSL_LOCKS_EXCLUDED(mu_);
  void Advance(absl::Duration by) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_);
  const absl::Time start_;
};

}  // namespace seer
