// Tells the core of newer generations of the pools that jobs follow. Owns one thread, which asks
// the data service again and again; while that is away, jobs go on with what they have.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/thread.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/pool_lookup.h"

namespace seer::coordinator {

class PoolWatch {
 public:
  // Both must outlive this, and the runner's loop must run until it is gone. `period`: between two
  // rounds.
  PoolWatch(CoreRunner& runner, PoolLookup& pools, absl::Duration period)
      : runner_(runner), pools_(pools), period_(period), thread_("pool-watch", [this] { Run(); }) {}
  ~PoolWatch();

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void AskOnce();

  CoreRunner& runner_;
  PoolLookup& pools_;
  const absl::Duration period_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  Thread thread_;
};

}  // namespace seer::coordinator
