// Structured logs on stderr: a constant event name plus fields. Text for people, JSON lines for
// machines (chosen once by InitLogging).
// info = a state change, warn = handled, error = someone must act. Thread-safe.
//
//   LogInfo("job_state_changed", {{"job", id}, {"from", "QUEUED"}, {"to", "STARTING"}});
#pragma once

#include "absl/strings/string_view.h"

#include <initializer_list>
#include <string>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace seer {

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarn, kError };

// Fields that every line of this process carries (process, job, attempt, rank ...).
using LogFields = std::vector<std::pair<std::string, std::string>>;

// Call once, first thing in main(). Without it: text, info, no common fields.
void InitLogging(LogFormat format, LogLevel level, LogFields common_fields);

class LogField {
 public:
  LogField(absl::string_view key, const absl::AlphaNum& value)
      : key_(key), value_(value.Piece()) {}  // NOLINT
  absl::string_view key() const { return key_; }
  const std::string& value() const { return value_; }

 private:
  absl::string_view key_;
  std::string value_;
};

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields);
inline void LogDebug(absl::string_view event, std::initializer_list<LogField> f = {}) {
  Log(LogLevel::kDebug, event, f);
}
inline void LogInfo(absl::string_view event, std::initializer_list<LogField> f = {}) {
  Log(LogLevel::kInfo, event, f);
}
inline void LogWarn(absl::string_view event, std::initializer_list<LogField> f = {}) {
  Log(LogLevel::kWarn, event, f);
}
inline void LogError(absl::string_view event, std::initializer_list<LogField> f = {}) {
  Log(LogLevel::kError, event, f);
}

}  // namespace seer
