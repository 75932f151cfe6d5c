// A named thread that does the same thing again and again until its owner ends it.
#pragma once

#include <functional>
#include <string>

#include "absl/synchronization/notification.h"
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
  absl::Notification stop_;
  Thread thread_;
};

}  // namespace seer
