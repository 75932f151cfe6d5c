#include "client/launch/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

constexpr int kNoProgram = 127;

// Reads `fd` to its end. CANCELLED: Ctrl-C came first.
absl::StatusOr<std::string> ReadToEnd(int fd, const Interrupt& interrupt) {
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    pollfd fds[2] = {{fd, POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return absl::InternalError("poll failed");
    if (interrupt.caught()) return absl::CancelledError("interrupted; nothing was written");
    if (fds[0].revents == 0) continue;
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count == 0) return text;
    if (count > 0) text.append(buffer.data(), static_cast<size_t>(count));
  }
}

// A file without a name that holds `text`, at its beginning; -1: no memory.
int FileOf(const std::string& text) {
  const int fd = ::memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0) return fd;
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count <= 0) {
      ::close(fd);
      return -1;
    }
    done += static_cast<size_t>(count);
  }
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

}  // namespace

absl::StatusOr<std::string> RunProgram(std::vector<std::string> command, const std::string& input,
                                       const Interrupt& interrupt) {
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const int stdin_fd = FileOf(input);
  int ends[2];
  if (stdin_fd < 0 || ::pipe2(ends, O_CLOEXEC) != 0) return absl::InternalError("no pipe");
  const pid_t pid = ::fork();
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(stdin_fd, STDIN_FILENO);
    ::dup2(ends[1], STDOUT_FILENO);
    ::execvp(arguments[0], arguments.data());
    ::_exit(kNoProgram);
  }
  ::close(stdin_fd);
  ::close(ends[1]);
  absl::StatusOr<std::string> text =
      pid < 0 ? absl::StatusOr<std::string>(absl::InternalError("fork failed"))
              : ReadToEnd(ends[0], interrupt);
  ::close(ends[0]);
  if (pid < 0) return text;
  if (!text.ok()) ::kill(pid, SIGTERM);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (interrupt.caught()) return absl::CancelledError("interrupted; nothing was written");
  SEER_RETURN_IF_ERROR(text.status());
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoProgram) {
    return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
                 absl::StrCat("no program ", command[0]));
  }
  if (status != 0) {
    return Error(absl::StatusCode::kInternal, reason::kInternal,
                 absl::StrCat(command[0], WIFSIGNALED(status)
                                              ? absl::StrCat(" died of signal ", WTERMSIG(status))
                                              : absl::StrCat(" failed with ", WEXITSTATUS(status))))
        .Hint("what it said is above");
  }
  return text;
}

}  // namespace seer::client
