// Threads "store-read" that run reads whose callers may not wait for them. Made when they are
// needed, up to a bound; the destructor waits for what runs. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/thread.h"

namespace seer {

class ReadThreads {
 public:
  explicit ReadThreads(int max_threads) : max_threads_(max_threads) {}
  ~ReadThreads();

  // False: all threads are busy, `task` does not run.
  bool TryRun(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Work() ABSL_LOCKS_EXCLUDED(mu_);

  const int max_threads_;
  absl::Mutex mu_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mu_);  // at most one for an idle thread
  int idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Thread> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace seer
