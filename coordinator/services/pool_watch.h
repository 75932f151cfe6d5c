// Tells the core of newer generations of the pools that jobs follow. Owns one thread, which asks
// the data service again and again; while that is away, jobs go on with what they have.
#pragma once

#include "absl/time/time.h"
#include "common/base/periodic_thread.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/pool_lookup.h"

namespace seer::coordinator {

class PoolWatch {
 public:
  // Both must outlive this, and the runner's loop must run until it is gone. `period`: between two
  // rounds.
  PoolWatch(CoreRunner& runner, PoolLookup& pools, absl::Duration period)
      : runner_(runner),
        pools_(pools),
        thread_("pool-watch", period, period, [this] { AskOnce(); }) {}

 private:
  void AskOnce();

  CoreRunner& runner_;
  PoolLookup& pools_;
  PeriodicThread thread_;
};

}  // namespace seer::coordinator
