#include "common/base/periodic_thread.h"

#include <utility>

namespace seer {

PeriodicThread::PeriodicThread(std::string name, absl::Duration first, absl::Duration period,
                               std::function<void()> body)
    : thread_(std::move(name), [this, first, period, body = std::move(body)] {
        for (absl::Duration wait = first; !stop_.WaitForNotificationWithTimeout(wait);
             wait = period)
          body();
      }) {}

void PeriodicThread::Stop() {
  if (!stop_.HasBeenNotified()) stop_.Notify();
  thread_.Join();
}

}  // namespace seer
