#include "common/base/periodic_thread.h"

#include <utility>

#include "common/base/await.h"

namespace seer {

PeriodicThread::PeriodicThread(std::string name, absl::Duration first, absl::Duration period,
                               std::function<void()> body)
    : thread_(std::move(name), [this, first, period, body = std::move(body)] {
        for (absl::Duration wait = first; !StopsWithin(wait); wait = period) body();
      }) {}

void PeriodicThread::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
  }
  thread_.Join();
}

bool PeriodicThread::StopsWithin(absl::Duration wait) {
  absl::MutexLock lock(&mu_);
  return AwaitFor(mu_, absl::Condition(&stop_), wait);
}

}  // namespace seer
