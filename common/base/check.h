// SEER_CHECK: a broken invariant of the program itself. Prints the condition, the message and the
// stack, then aborts. External input never reaches a check; it gets a Status.
#pragma once

#include <sstream>
#include <string>

namespace seer::internal {

class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  [[noreturn]] ~CheckFailure();
  std::ostringstream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

}  // namespace seer::internal

#define SEER_CHECK(condition) \
  if (condition) [[likely]] { \
  } else                      \
    ::seer::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()
