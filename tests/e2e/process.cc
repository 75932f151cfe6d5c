#include "tests/e2e/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "tests/e2e/cluster.h"

namespace seer::e2e {

Process::Process(std::vector<std::string> arguments, std::filesystem::path log,
                 const std::vector<std::string>& wrapper,
                 const std::map<std::string, std::string>& environment)
    : log_(std::move(log)) {
  arguments[0] = (Bin() / arguments[0]).string();
  arguments.insert(arguments.begin(), wrapper.begin(), wrapper.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int fd = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(fd, STDOUT_FILENO);
  ::dup2(fd, STDERR_FILENO);
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

Process::~Process() { End(SIGKILL); }

void Process::Signal(int signal) const { ::kill(pid_, signal); }

void Process::End(int signal) {
  if (pid_ < 0) return;
  Signal(signal);
  Signal(SIGCONT);
  ::waitpid(std::exchange(pid_, -1), nullptr, 0);
}

std::string Process::log() const { return ReadAll(log_); }

}  // namespace seer::e2e
