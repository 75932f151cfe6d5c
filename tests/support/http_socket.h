// A client that speaks HTTP byte by byte, well or badly. Not thread-safe.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace seer::testing {

class HttpSocket {
 public:
  explicit HttpSocket(int port);  // connected to the loopback
  HttpSocket(const HttpSocket&) = delete;
  ~HttpSocket();
  bool Send(const std::string& text);  // false: the other side has hung up
  // Up to and with `end`; fails the test, and gives what came, if it does not come.
  std::string ReadUntil(const std::string& end);
  std::string ReadAll();  // until the other side hangs up; fails the test if it does not
  // Waits so long for it to hang up.
  bool ClosedWithin(absl::Duration limit);

 private:
  bool Receive(absl::Duration limit);  // false: nothing came

  int fd_;
  bool closed_ = false;
  std::string received_;
};

}  // namespace seer::testing
