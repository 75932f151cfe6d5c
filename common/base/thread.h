// A named thread that its owner joins: by Join or by the destructor. Never detached.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace seer {

class Thread {
 public:
  Thread() = default;
  // `name`: at most 15 characters are kept (the kernel's limit).
  Thread(std::string name, std::function<void()> body);
  Thread(Thread&&) = default;
  Thread& operator=(Thread&& other);
  ~Thread();
  void Join();  // no-op if not running
  bool joinable() const { return thread_.joinable(); }

 private:
  std::thread thread_;
};

}  // namespace seer
