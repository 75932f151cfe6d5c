// A program of ours that a test starts by itself.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace seer::e2e {

// Killed with this object. What it says goes to a file, behind what stood there.
class Process {
 public:
  // `arguments[0]` is the program's name in Bin(); `wrapper` runs it: {"ip", "netns", "exec", "a"}.
  Process(std::vector<std::string> arguments, std::filesystem::path log,
          const std::vector<std::string>& wrapper = {},
          const std::map<std::string, std::string>& environment = {});
  Process(const Process&) = delete;
  ~Process();
  void Signal(int signal) const;
  void End(int signal);  // and waits until it has
  int pid() const { return pid_; }
  std::string log() const;

 private:
  const std::filesystem::path log_;
  pid_t pid_ = -1;
};

}  // namespace seer::e2e
