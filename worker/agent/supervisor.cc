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
#include <utility>

#include "common/base/check.h"

namespace seer::worker {

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

void Supervisor::Start(int64_t key, std::vector<std::string> command) {
  Post({key, std::move(command), 0});
}
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
  while (true) {
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
      Child& child = children_.at(keys[i]);
      if (fds[2 + 2 * i].revents != 0) ReadOutput(child, /*to_the_end=*/false);
      if (fds[1 + 2 * i].revents != 0) Reap(child);
    }
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
    while (!children_.empty()) Reap(children_.begin()->second);
    return;
  }
}

void Supervisor::Serve(const Request& request) {
  if (!request.command.empty()) return Spawn(request);
  const auto it = children_.find(request.key);
  if (it != children_.end()) ::kill(-it->second.pid, request.signal);
}

void Supervisor::Spawn(const Request& request) {
  int pipe_fds[2];
  SEER_CHECK(::pipe2(pipe_fds, O_CLOEXEC) == 0);
  std::vector<char*> arguments;
  for (const std::string& argument : request.command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  SEER_CHECK(pid >= 0) << "fork failed";
  if (pid == 0) {  // only async-signal-safe calls from here on
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // the agent died in between
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(pipe_fds[1], STDOUT_FILENO);
    ::dup2(pipe_fds[1], STDERR_FILENO);
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::execv(arguments[0], arguments.data());
    constexpr char kText[] = "cannot start the trainer program\n";
    (void)!::write(STDERR_FILENO, kText, sizeof(kText) - 1);
    ::_exit(127);
  }
  ::setpgid(pid, pid);  // whichever of the two comes first
  ::close(pipe_fds[1]);
  ::fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
  Child child;
  child.key = request.key;
  child.pid = pid;
  child.pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  SEER_CHECK(child.pid_fd >= 0) << "pidfd_open failed";
  child.pipe = pipe_fds[0];
  children_[request.key] = std::move(child);
}

void Supervisor::ReadOutput(Child& child, bool to_the_end) {
  char buffer[64 << 10];
  while (child.pipe >= 0) {
    const ssize_t got = ::read(child.pipe, buffer, sizeof(buffer));
    if (got <= 0) {
      if (got == 0) {
        ::close(child.pipe);
        child.pipe = -1;
      }
      return;
    }
    for (ssize_t i = 0; i < got; ++i) {
      if (buffer[i] != '\n') child.partial.push_back(buffer[i]);
      if (buffer[i] == '\n' || child.partial.size() >= kMaxLineBytes)
        callbacks_.line(child.key, std::exchange(child.partial, {}));
    }
    if (!to_the_end) return;
  }
}

void Supervisor::Reap(Child& child) {
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  ::kill(-child.pid, SIGKILL);  // what it left behind in its group
  ReadOutput(child, /*to_the_end=*/true);
  if (!child.partial.empty()) callbacks_.line(child.key, std::exchange(child.partial, {}));
  if (child.pipe >= 0) ::close(child.pipe);
  ::close(child.pid_fd);
  const int64_t key = child.key;
  children_.erase(key);
  callbacks_.exited(key, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

}  // namespace seer::worker
