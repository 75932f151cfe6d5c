// A real HTTP server on a port of its own, that answers what the test says and remembers what it
// was sent. Owns one thread. Thread-safe.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace seer::testing {

struct HttpCall {
  std::string method, path, body;
  std::map<std::string, std::string> headers;  // names in lower case
};

class HttpServer {
 public:
  HttpServer();
  ~HttpServer();
  std::string url() const;
  // The status of the next answers, in order; 0: it hangs up without one. Then 200.
  void Answer(std::vector<int> statuses);
  // What is answered to calls of a path, from now on; others get an empty body.
  void Page(const std::string& path, std::string body);
  std::string root() const;  // "http://127.0.0.1:41234"
  // Waits for so many calls; those that came, at the latest after `patience`.
  std::vector<HttpCall> Calls(size_t count, absl::Duration patience = absl::Seconds(30));

 private:
  void Serve();
  void Take(int connection);

  int listener_ = -1;
  int port_ = 0;
  absl::Mutex mu_;
  std::map<std::string, std::string> pages_ ABSL_GUARDED_BY(mu_);
  std::deque<int> answers_ ABSL_GUARDED_BY(mu_);
  std::vector<HttpCall> calls_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace seer::testing
