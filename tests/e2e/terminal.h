// A program on a terminal of its own, as a user starts it. Ctrl-C is typed there, so that the
// kernel sends SIGINT to the whole foreground process group. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace seer::e2e {

class Terminal {
 public:
  // Runs `command` with `environment` on top of this process's; it need not be a path.
  Terminal(const std::vector<std::string>& command,
           const std::map<std::string, std::string>& environment);
  Terminal(const Terminal&) = delete;
  ~Terminal();  // SIGKILL to its process group, if it still runs

  // Reads until `text` stands in what came since the last Expect. False: it did not within
  // `seconds`, or the program ended first.
  bool Expect(const std::string& text, int seconds = 60);
  void Type(const std::string& keys);
  void CtrlC() { Type("\x03"); }
  // Reads to the end. The exit code, 128 + N for signal N, -1: it still runs after `seconds`.
  int Wait(int seconds = 60);
  pid_t pid() const { return pid_; }
  const std::string& text() const { return text_; }  // all that was read

 private:
  bool Read(int milliseconds);  // false: nothing more will come, or not in time

  pid_t pid_ = -1;
  int master_ = -1;
  std::string text_;
  size_t expected_ = 0;  // what stands before it was met by an Expect
  bool waited_ = false;
};

}  // namespace seer::e2e
