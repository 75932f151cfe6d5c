#include "client/interrupt.h"

#include "common/base/await.h"

#include <grpcpp/client_context.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace seer::client {
namespace {

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC);
  caught_fd_ = ::eventfd(0, EFD_CLOEXEC);
  thread_ = Thread("interrupt", [this] { Run(); });
}

Interrupt::~Interrupt() {
  const uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof(one));
  thread_.Join();
  ::close(wake_fd_);
  ::close(caught_fd_);
}

void Interrupt::Run() {
  const sigset_t signals = Signals();
  const int fd = ::signalfd(-1, &signals, SFD_CLOEXEC);
  while (true) {
    pollfd fds[2] = {{fd, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    ::poll(fds, 2, -1);
    if (fds[1].revents != 0) break;
    if (fds[0].revents == 0) continue;
    signalfd_siginfo info;
    (void)!::read(fd, &info, sizeof(info));
    if (caught_.exchange(true)) ::_exit(130);  // a second Ctrl-C: at once
    const uint64_t one = 1;
    (void)!::write(caught_fd_, &one, sizeof(one));
    absl::MutexLock lock(&mu_);
    flag_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  ::close(fd);
}

bool Interrupt::SleepFor(absl::Duration time) {
  absl::MutexLock lock(&mu_);
  return !AwaitFor(mu_, absl::Condition(&flag_), time);
}

Interrupt::Scope::Scope(Interrupt& interrupt, grpc::ClientContext& context)
    : interrupt_(interrupt) {
  absl::MutexLock lock(&interrupt_.mu_);
  interrupt_.context_ = &context;
  if (interrupt_.flag_) context.TryCancel();
}

Interrupt::Scope::~Scope() {
  absl::MutexLock lock(&interrupt_.mu_);
  interrupt_.context_ = nullptr;
}

}  // namespace seer::client
