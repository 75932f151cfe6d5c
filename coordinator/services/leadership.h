// Has this coordinator lead, or stand by, as the lease in the database says. Owns one thread, which
// renews the lease, or asks for it, five times in its duration. Thread-safe.
//
// A leader counts the lease from before it asked, and gives up a tenth early; another one may take
// it when all of it has passed by the database's clock. Clocks that run at different speeds, or a
// process that was stopped, do not matter to what is committed: that is checked in each
// transaction.
#pragma once

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/store/leader_lease.h"

namespace seer::coordinator {

class Leadership {
 public:
  // All must outlive it, and the runner's loop must run until it is gone. `address`: where others
  // reach this coordinator.
  Leadership(LeaderLease& lease, CoreRunner& runner, Clock& clock, std::string address);
  // Stands by, and lets another one take the lease at once.
  ~Leadership();

 private:
  void AskOnce() ABSL_LOCKS_EXCLUDED(mu_);
  void Held(int64_t term, absl::Duration until) ABSL_LOCKS_EXCLUDED(mu_);
  void NotHeld(const absl::Status& refusal);

  LeaderLease& lease_;
  CoreRunner& runner_;
  Clock& clock_;
  const std::string address_;
  absl::Duration until_ = -absl::InfiniteDuration();  // steady end of the lease; the thread's
  bool said_away_ = false;                            // the thread's
  absl::Mutex mu_;
  bool loading_ ABSL_GUARDED_BY(mu_) = false;       // the runner was told to lead
  int64_t term_ ABSL_GUARDED_BY(mu_) = 0;           // in which
  absl::Status load_failure_ ABSL_GUARDED_BY(mu_);  // of the last time
  PeriodicThread thread_;
};

}  // namespace seer::coordinator
