#include "tests/e2e/terminal.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "common/base/check.h"

namespace seer::e2e {

Terminal::Terminal(const std::vector<std::string>& command,
                   const std::map<std::string, std::string>& environment) {
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  winsize size{};
  size.ws_row = 50;
  size.ws_col = 200;
  pid_ = ::forkpty(&master_, nullptr, nullptr, &size);
  if (pid_ == 0) {
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  SEER_CHECK(pid_ > 0) << "forkpty failed";
}

Terminal::~Terminal() {
  if (!waited_) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(master_);
}

bool Terminal::Read(int milliseconds) {
  pollfd fd{master_, POLLIN, 0};
  if (::poll(&fd, 1, milliseconds) <= 0) return false;
  char buffer[4096];
  const ssize_t got = ::read(master_, buffer, sizeof(buffer));  // EIO: all have closed it
  if (got <= 0) return false;
  text_.append(buffer, static_cast<size_t>(got));
  return true;
}

bool Terminal::Expect(const std::string& text, int seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (true) {
    const size_t at = text_.find(text, expected_);
    if (at != std::string::npos) {
      expected_ = at + text.size();
      return true;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !Read(static_cast<int>(left.count()))) return false;
  }
}

void Terminal::Type(const std::string& keys) {
  SEER_CHECK(::write(master_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
}

int Terminal::Wait(int seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  while (::waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) return -1;
    if (!Read(20)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  waited_ = true;
  while (Read(0)) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace seer::e2e
