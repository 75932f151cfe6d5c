// One thread that runs tasks in order, now or at a time. What it owns needs no lock: other threads
// Post to it. Tasks posted by one thread run in that thread's order; a task due earlier runs first,
// and one that falls due waits only for what was posted before.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/thread.h"

namespace seer {

class Loop {
 public:
  using Task = absl::AnyInvocable<void()>;
  virtual ~Loop() = default;
  virtual void Post(Task task) = 0;                         // thread-safe
  virtual void After(absl::Duration delay, Task task) = 0;  // thread-safe
  virtual bool IsCurrent() const = 0;                       // called on the loop's thread?
};

// The real one. Stop() runs no further task; the destructor stops and joins.
class ThreadLoop final : public Loop {
 public:
  ThreadLoop(std::string name, Clock& clock);
  ~ThreadLoop() override;
  void Post(Task task) override ABSL_LOCKS_EXCLUDED(mu_);
  void After(absl::Duration delay, Task task) override ABSL_LOCKS_EXCLUDED(mu_);
  bool IsCurrent() const override { return std::this_thread::get_id() == id_.load(); }
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);  // not from the loop's own thread

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  Clock& clock_;
  absl::Mutex mu_;
  bool changed_ ABSL_GUARDED_BY(mu_) = false;  // since the loop looked
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t sequence_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Task> ready_ ABSL_GUARDED_BY(mu_);
  std::map<std::pair<absl::Duration, uint64_t>, Task> later_ ABSL_GUARDED_BY(mu_);
  std::atomic<std::thread::id> id_{};  // set before the first task
  Thread thread_;                      // last: everything it touches is built before it
};

// Runs tasks on the caller's thread when told to. Single-threaded tests.
class FakeLoop final : public Loop {
 public:
  explicit FakeLoop(FakeClock& clock) : clock_(clock) {}
  void Post(Task task) override { After(absl::ZeroDuration(), std::move(task)); }
  void After(absl::Duration delay, Task task) override;
  bool IsCurrent() const override { return true; }
  // Moves the clock from task to task up to `by` from now, and runs each that falls due.
  void Advance(absl::Duration by);
  void RunReady() { Advance(absl::ZeroDuration()); }

 private:
  FakeClock& clock_;
  uint64_t sequence_ = 0;
  std::map<std::pair<absl::Duration, uint64_t>, Task> tasks_;
};

}  // namespace seer
