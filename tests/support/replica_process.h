// A data service in a process of its own, to be killed or stopped.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace seer::testing {

class ReplicaProcess {
 public:
  ReplicaProcess(const std::string& pools, const std::string& port_file) : port_file_(port_file) {
    const char* bin = std::getenv("SEER_BIN_DIR");
    const std::string program = absl::StrCat(bin == nullptr ? "bin" : bin, "/seer-dataservice");
    std::vector<std::string> words = {program,       "--pools",   pools,        "--listen",
                                      "127.0.0.1:0", "--threads", "2",          "--port-file",
                                      port_file,     "--metrics", "127.0.0.1:0"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, program.c_str(), nullptr, nullptr, arguments.data(), environ), 0);
  }
  ~ReplicaProcess() { Kill(); }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  void Signal(int number) const { kill(pid_, number); }
  // Pages that are its alone and no file's, in bytes.
  int64_t private_bytes() const {
    std::ifstream status(absl::StrCat("/proc/", pid_, "/status"));
    int64_t kilobytes = -1;
    for (std::string word; kilobytes < 0 && status >> word;)
      if (word == "RssAnon:") status >> kilobytes;
    EXPECT_GE(kilobytes, 0);
    return kilobytes << 10;
  }
  std::string address() const {
    const absl::Time end = absl::Now() + absl::Seconds(60);
    int port = 0;
    while (!(std::ifstream(port_file_) >> port) && absl::Now() < end)
      absl::SleepFor(absl::Milliseconds(5));  // a file gives no event
    return absl::StrCat("127.0.0.1:", port);
  }

 private:
  const std::string port_file_;
  pid_t pid_ = -1;
};

}  // namespace seer::testing
