#include "common/objectstore/read_threads.h"

#include <utility>

namespace seer {

ReadThreads::~ReadThreads() {
  std::vector<Thread> threads;
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
    threads.swap(threads_);
  }
  threads.clear();  // joins
}

bool ReadThreads::TryRun(std::function<void()> task) {
  absl::MutexLock lock(&mu_);
  if (idle_ <= static_cast<int>(tasks_.size())) {
    if (static_cast<int>(threads_.size()) >= max_threads_) return false;
    ++idle_;
    threads_.emplace_back("store-read", [this] { Work(); });
  }
  tasks_.push_back(std::move(task));
  return true;
}

void ReadThreads::Work() {
  const auto ready = [this]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stop_ || !tasks_.empty(); };
  while (true) {
    std::function<void()> task;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(&ready));
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      --idle_;
    }
    task();
    task = nullptr;
    absl::MutexLock lock(&mu_);
    ++idle_;
  }
}

}  // namespace seer
