// Ctrl-C: cancels the call that is running and is remembered, so that a command can say how to go
// on. Thread-safe.
#pragma once

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/thread.h"

namespace grpc {
class ClientContext;
}

namespace seer::client {

class Interrupt {
 public:
  Interrupt();  // blocks SIGINT and SIGTERM in this thread: make it before any other thread
  ~Interrupt();
  bool caught() const { return caught_; }
  // Sleeps, but not through a Ctrl-C. False: caught.
  bool SleepFor(absl::Duration time);
  // Readable from the first Ctrl-C on: to poll beside another descriptor.
  int fd() const { return caught_fd_; }

  // While it lives, Ctrl-C cancels `context`.
  class Scope {
   public:
    Scope(Interrupt& interrupt, grpc::ClientContext& context);
    ~Scope();

   private:
    Interrupt& interrupt_;
  };

 private:
  void Run();

  std::atomic<bool> caught_{false};
  int wake_fd_ = -1;
  int caught_fd_ = -1;
  absl::Mutex mu_;
  bool flag_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  Thread thread_;
};

}  // namespace seer::client
