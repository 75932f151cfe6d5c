#include "common/base/loop.h"

#include <algorithm>

namespace seer {

ThreadLoop::ThreadLoop(std::string name, Clock& clock) : clock_(clock) {
  absl::MutexLock lock(&mu_);  // Run() waits for id_
  thread_ = Thread(std::move(name), [this] { Run(); });
}

ThreadLoop::~ThreadLoop() { Stop(); }

void ThreadLoop::Post(Task task) { After(absl::ZeroDuration(), std::move(task)); }

void ThreadLoop::After(absl::Duration delay, Task task) {
  const absl::Duration due = clock_.Steady() + std::max(delay, absl::ZeroDuration());
  absl::MutexLock lock(&mu_);
  if (stopping_) return;
  // A task without delay keeps its place behind those posted before it:
  // time zero, then the sequence.
  const absl::Duration key = delay <= absl::ZeroDuration() ? absl::ZeroDuration() : due;
  tasks_.emplace(std::make_pair(key, sequence_++), std::move(task));
  wake_.Signal();
}

void ThreadLoop::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    wake_.Signal();
  }
  thread_.Join();
}

void ThreadLoop::Run() {
  absl::ReleasableMutexLock init(&mu_);
  id_ = std::this_thread::get_id();
  init.Release();
  while (true) {
    Task task;
    {
      absl::MutexLock lock(&mu_);
      while (!stopping_) {
        if (tasks_.empty()) {
          wake_.Wait(&mu_);
          continue;
        }
        const absl::Duration wait = tasks_.begin()->first.first - clock_.Steady();
        if (wait <= absl::ZeroDuration()) break;
        wake_.WaitWithTimeout(&mu_, wait);
      }
      if (stopping_) return;
      task = std::move(tasks_.begin()->second);
      tasks_.erase(tasks_.begin());
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
  clock_.Advance(end - clock_.Steady());
}

}  // namespace seer
