#include "tests/support/python_server.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace seer::testing {

PythonServer::PythonServer(const std::string& script, std::vector<std::string> arguments) {
  int in[2], out[2];
  SEER_CHECK(::pipe2(in, O_CLOEXEC) == 0 && ::pipe2(out, O_CLOEXEC) == 0) << "no pipe";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  const char* const source = std::getenv("SEER_SOURCE_DIR");  // set by ctest
  arguments.insert(arguments.begin(), {SEER_PYTHON, absl::StrCat(source == nullptr ? "." : source,
                                                                 "/tests/support/", script)});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  SEER_CHECK(::posix_spawn(&pid_, SEER_PYTHON, &actions, nullptr, argv.data(), environ) == 0)
      << "cannot start " << SEER_PYTHON;
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  stdin_ = in[1];
  std::string line;
  for (char c; ::read(out[0], &c, 1) == 1 && c != '\n';) line += c;
  ::close(out[0]);
  SEER_CHECK(absl::SimpleAtoi(line, &port_))
      << script << " said '" << line << "' instead of its port: run ./deploy/deps again";
}

PythonServer::~PythonServer() {
  ::close(stdin_);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace seer::testing
