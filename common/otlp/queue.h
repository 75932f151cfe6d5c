// What waits to be exported: bounded, and what finds no room is dropped and counted. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace seer {

template <typename Item>
class ExportQueue {
 public:
  explicit ExportQueue(size_t most) : most_(most) {}

  // False: it was dropped.
  bool Push(Item item) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (items_.size() >= most_) {
      ++dropped_;
      return false;
    }
    items_.push_back(std::move(item));
    return true;
  }
  // The oldest, at most `most` of them.
  std::vector<Item> Take(size_t most) ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<Item> taken;
    absl::MutexLock lock(&mu_);
    while (!items_.empty() && taken.size() < most) {
      taken.push_back(std::move(items_.front()));
      items_.pop_front();
    }
    return taken;
  }
  void Drop(int64_t items) ABSL_LOCKS_EXCLUDED(mu_) {  // that were taken and cannot be delivered
    absl::MutexLock lock(&mu_);
    dropped_ += items;
  }
  size_t size() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return items_.size();
  }
  int64_t dropped() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return dropped_;
  }

 private:
  const size_t most_;
  mutable absl::Mutex mu_;
  std::deque<Item> items_ ABSL_GUARDED_BY(mu_);
  int64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace seer
