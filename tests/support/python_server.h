// A server that a test starts as a script of tests/support, with the Python of deploy/deps. The
// script prints its port first, and ends when its stdin does: with this object.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace seer::testing {

class PythonServer {
 public:
  // `script`: "faulty_s3.py". Returns when it listens.
  PythonServer(const std::string& script, std::vector<std::string> arguments);
  ~PythonServer();
  PythonServer(const PythonServer&) = delete;
  int port() const { return port_; }  // on the loopback

 private:
  pid_t pid_ = -1;
  int stdin_ = -1;
  int port_ = 0;
};

}  // namespace seer::testing
