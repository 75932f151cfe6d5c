// Where log lines go besides stderr: one place a process, which common/base knows nothing of.
#pragma once

#include <initializer_list>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/log.h"

namespace seer {

class LogSink {
 public:
  virtual ~LogSink() = default;
  // Of each line that is printed, on the thread that logs it. Must neither block nor log. `common`:
  // the fields that every line has.
  virtual void Take(absl::Time time, LogLevel level, absl::string_view event,
                    const LogFields& common, std::initializer_list<LogField> fields) = 0;
};

// nullptr: none. Thread-safe; returns when the one before is no longer used.
void SetLogSink(LogSink* sink);

}  // namespace seer
