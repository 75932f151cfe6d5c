#include "common/base/loop.h"

#include <algorithm>

#include "common/base/await.h"

namespace seer {

ThreadLoop::ThreadLoop(std::string name, Clock& clock)
    : clock_(clock), thread_(std::move(name), [this] { Run(); }) {}

ThreadLoop::~ThreadLoop() { Stop(); }

void ThreadLoop::Post(Task task) {
  absl::MutexLock lock(&mu_);
  if (stopping_) return;
  ready_.push_back(std::move(task));
  changed_ = true;
}

void ThreadLoop::After(absl::Duration delay, Task task) {
  if (delay <= absl::ZeroDuration()) return Post(std::move(task));
  const absl::Duration due = clock_.Steady() + delay;
  absl::MutexLock lock(&mu_);
  if (stopping_) return;
  later_.emplace(std::make_pair(due, sequence_++), std::move(task));
  changed_ = true;
}

void ThreadLoop::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    changed_ = true;
  }
  thread_.Join();
}

void ThreadLoop::Run() {
  id_ = std::this_thread::get_id();
  while (true) {
    Task task;
    {
      absl::MutexLock lock(&mu_);
      while (!stopping_) {
        // Behind what is ready, so that neither keeps the other waiting for ever.
        const absl::Duration now = clock_.Steady();
        while (!later_.empty() && later_.begin()->first.first <= now) {
          ready_.push_back(std::move(later_.begin()->second));
          later_.erase(later_.begin());
        }
        if (!ready_.empty()) break;
        AwaitFor(mu_, absl::Condition(&changed_),
                 later_.empty() ? absl::InfiniteDuration() : later_.begin()->first.first - now);
        changed_ = false;
      }
      if (stopping_) return;
      task = std::move(ready_.front());
      ready_.pop_front();
    }
    task();
  }
}

void FakeLoop::After(absl::Duration delay, Task task) {
  const absl::Duration due = clock_.Steady() + std::max(delay, absl::ZeroDuration());
  tasks_.emplace(std::make_pair(due, sequence_++), std::move(task));
}

void FakeLoop::Advance(absl::Duration by) {
  const absl::Duration end = clock_.Steady() + by;
  while (!tasks_.empty() && tasks_.begin()->first.first <= end) {
    auto node = tasks_.extract(tasks_.begin());
    if (node.key().first > clock_.Steady()) clock_.Advance(node.key().first - clock_.Steady());
    node.mapped()();
  }
  if (end > clock_.Steady()) clock_.Advance(end - clock_.Steady());  // a task may have moved it
}

}  // namespace seer
