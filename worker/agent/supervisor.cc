#include "worker/agent/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace seer::worker {
namespace {

constexpr size_t kReadBytes = 64 << 10;
// A pipe holds at most so much (fs.pipe-max-size): more than that after the child's end comes from
// a process that left its group.
constexpr int kReadsAfterTheEnd = (1 << 20) / kReadBytes;

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void BecomeProgram(char* const* arguments, int output, pid_t parent,
                                bool hold_sigterm) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // the agent died in between
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t blocked;
  sigemptyset(&blocked);
  if (hold_sigterm) sigaddset(&blocked, SIGTERM);
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U,
            0);  // also what others opened without O_CLOEXEC
  ::execv(arguments[0], arguments);
  constexpr char kText[] = "cannot start the trainer program\n";
  (void)!::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  ::_exit(127);
}

}  // namespace

Supervisor::Supervisor(SupervisorCallbacks callbacks)
    : callbacks_(std::move(callbacks)),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_("supervisor", [this] { Run(); }) {}

Supervisor::~Supervisor() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  const uint64_t one = 1;
  SEER_CHECK(::write(wake_fd_, &one, sizeof(one)) == sizeof(one));
  thread_.Join();
  ::close(wake_fd_);
}

void Supervisor::Start(int64_t key, Command command) { Post({key, std::move(command), 0}); }
void Supervisor::Signal(int64_t key, int signal) { Post({key, {}, signal}); }

void Supervisor::Post(Request request) {
  {
    absl::MutexLock lock(&mu_);
    requests_.push_back(std::move(request));
  }
  const uint64_t one = 1;
  SEER_CHECK(::write(wake_fd_, &one, sizeof(one)) == sizeof(one));
}

void Supervisor::Run() {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);  // none hits a child before it is a program
  while (true) {
    WaitAndRead();
    std::vector<Request> requests;
    bool stopping;
    {
      absl::MutexLock lock(&mu_);
      requests.swap(requests_);
      stopping = stopping_;
    }
    for (const Request& request : requests) Serve(request);
    if (!stopping) continue;
    for (auto& [key, child] : children_) ::kill(-child.pid, SIGKILL);
    while (!children_.empty()) Reap(children_.begin()->first);
    return;
  }
}

void Supervisor::WaitAndRead() {
  std::vector<pollfd> fds = {{wake_fd_, POLLIN, 0}};
  std::vector<int64_t> keys;
  for (auto& [key, child] : children_) {
    fds.push_back({child.pid_fd, POLLIN, 0});
    fds.push_back({child.pipe, POLLIN, 0});  // a closed pipe is -1: ignored
    keys.push_back(key);
  }
  ::poll(fds.data(), fds.size(), -1);
  if (fds[0].revents != 0) {
    uint64_t ignored;
    while (::read(wake_fd_, &ignored, sizeof(ignored)) > 0) {
    }
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    if (fds[2 + 2 * i].revents != 0) ReadSome(children_.at(keys[i]));
    if (fds[1 + 2 * i].revents != 0) Reap(keys[i]);
  }
}

void Supervisor::Serve(const Request& request) {
  if (!request.command.arguments.empty()) return Spawn(request);
  const auto it = children_.find(request.key);
  if (it != children_.end()) ::kill(-it->second.pid, request.signal);
}

void Supervisor::Spawn(const Request& request) {
  std::vector<char*> arguments;
  for (const std::string& argument : request.command.arguments)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) return CannotStart(request.key, "pipe", errno);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) BecomeProgram(arguments.data(), pipe_fds[1], parent, request.command.hold_sigterm);
  const int fork_error = errno;
  ::close(pipe_fds[1]);
  if (pid < 0) {
    ::close(pipe_fds[0]);
    return CannotStart(request.key, "fork", fork_error);
  }
  ::setpgid(pid, pid);  // whichever of the two comes first
  const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pid_fd < 0) {
    const int error = errno;
    ::kill(-pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    ::close(pipe_fds[0]);
    return CannotStart(request.key, "pidfd_open", error);
  }
  ::fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
  const bool added =
      children_.emplace(request.key, Child{request.key, pid, pid_fd, pipe_fds[0]}).second;
  SEER_CHECK(added) << "two children with the key " << request.key;
}

// The machine is short of something: no reason to give up the ranks that run.
void Supervisor::CannotStart(int64_t key, const char* what, int error) {
  callbacks_.line(key, absl::StrCat("cannot start a process: ", what, ": ", std::strerror(error)));
  callbacks_.exited(key, 127);
}

bool Supervisor::ReadSome(Child& child) {
  if (child.pipe < 0) return false;
  char buffer[kReadBytes];
  const ssize_t got = ::read(child.pipe, buffer, sizeof(buffer));
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    ::close(child.pipe);
    child.pipe = -1;
    return false;
  }
  for (ssize_t i = 0; i < got; ++i) {
    const bool end = buffer[i] == '\n';
    if (!end) child.partial.push_back(buffer[i]);
    if (!end && child.partial.size() < kMaxLineBytes) continue;
    const bool only_the_end_of_a_cut_line = end && child.cut && child.partial.empty();
    if (!only_the_end_of_a_cut_line) callbacks_.line(child.key, std::exchange(child.partial, {}));
    child.cut = !end;
  }
  return true;
}

void Supervisor::Reap(int64_t key) {
  Child& child = children_.at(key);
  const auto id = static_cast<id_t>(child.pid);
  siginfo_t info;
  while (::waitid(P_PID, id, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  // What it left behind in its group, while its number cannot be given to another process yet.
  ::kill(-child.pid, SIGKILL);
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  for (int i = 0; i < kReadsAfterTheEnd && ReadSome(child); ++i) {
  }
  if (!child.partial.empty()) callbacks_.line(key, std::exchange(child.partial, {}));
  if (child.pipe >= 0) ::close(child.pipe);
  ::close(child.pid_fd);
  children_.erase(key);
  callbacks_.exited(key, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

}  // namespace seer::worker
