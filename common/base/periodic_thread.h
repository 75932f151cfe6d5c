// A named thread that does the same thing again and again until its owner ends it.
#pragma once

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/thread.h"

namespace seer {

class PeriodicThread {
 public:
  // Calls `body` when `first` has passed, and again `period` after each return. As the owner's last
  // member it ends before what `body` uses.
  PeriodicThread(std::string name, absl::Duration first, absl::Duration period,
                 std::function<void()> body);
  ~PeriodicThread() { Stop(); }
  // Ends the wait, or waits for the body that runs, and joins. Of the owner's thread.
  void Stop();

 private:
  bool StopsWithin(absl::Duration wait) ABSL_LOCKS_EXCLUDED(mu_);

  absl::Mutex mu_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  Thread thread_;
};

}  // namespace seer
