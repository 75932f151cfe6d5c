// Child processes, each in a process group of its own: started, watched and reaped by one
// long-lived thread (children die with the thread that forked them, PR_SET_PDEATHSIG). Thread-safe.
// The destructor kills what still runs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/thread.h"

namespace seer::worker {

struct SupervisorCallbacks {
  // On the supervisor's thread; they must not block.
  // exit_code: of the process, 128 + n if signal n ended it, 127 if it could not be started.
  std::function<void(int64_t key, int exit_code)> exited;
  // One line of stdout or stderr, without its end, at most kMaxLineBytes.
  std::function<void(int64_t key, std::string line)> line;
};

struct Command {
  std::vector<std::string> arguments;  // the first is the program's path
  // SIGTERM stays blocked in the new program until it unblocks it: one that comes before the
  // program is ready for it waits, and does not kill it.
  bool hold_sigterm = false;
};

class Supervisor {
 public:
  static constexpr size_t kMaxLineBytes = 16 << 10;
  explicit Supervisor(SupervisorCallbacks callbacks);
  ~Supervisor();

  // `key`: chosen by the caller, unique among those that run. Its end is always told, after its
  // last line.
  void Start(int64_t key, Command command) ABSL_LOCKS_EXCLUDED(mu_);
  // To the whole process group; nothing happens if it has ended.
  void Signal(int64_t key, int signal) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Child {
    int64_t key = 0;
    int pid = -1, pid_fd = -1, pipe = -1;
    std::string partial{};  // the line so far
    bool cut = false;       // what came before `partial` was the same line
  };
  struct Request {
    int64_t key = 0;
    Command command;  // empty: a signal
    int signal = 0;
  };
  void Post(Request request) ABSL_LOCKS_EXCLUDED(mu_);
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void WaitAndRead();
  void Serve(const Request& request);
  void Spawn(const Request& request);
  void CannotStart(int64_t key, const char* what, int error);
  bool ReadSome(Child& child);  // false: nothing is there now
  void Reap(int64_t key);

  const SupervisorCallbacks callbacks_;
  int wake_fd_ = -1;
  absl::Mutex mu_;
  std::vector<Request> requests_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::map<int64_t, Child> children_;  // the thread's own
  Thread thread_;
};

}  // namespace seer::worker
