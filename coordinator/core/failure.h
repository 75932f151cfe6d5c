// Whose fault a rank's end was: told by its exit code, its last word, its agent and its last lines,
// by one table in this one place. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "coordinator/core/model.h"

namespace seer::coordinator {

// What a rank left when it ended.
struct Evidence {
  int exit_code = 0;               // common/base/trainer_exit.h, 128 + signal, 127, or kLost
  std::string reason, message;     // its last word; empty: none
  std::vector<std::string> lines;  // the last of its output, oldest first
  bool oom_killed = false;         // the kernel ended it for want of memory
  std::string device_fault = {};   // what the kernel said of its device; empty: nothing
};

enum class SignKind {
  kOutOfMemoryKill,  // the agent says so
  kDeviceFault,      // as well
  kExit,             // the exit code is `code`
  kReason,           // the reason is `text`
  kText,             // `text` stands in the message or in one of the lines, in any case of letters
  kAny,
};

// A row of the table. The first that fits decides.
struct FailureSign {
  SignKind kind;
  int code;
  absl::string_view text;
  FailureClass failure;
  Blame blame;
};

absl::Span<const FailureSign> FailureSigns();

Diagnosis Diagnose(const Evidence& evidence);

// "user_error", "data", "out_of_memory" ...: as events and metrics have it; kNone: "".
const char* FailureClassName(FailureClass failure);

}  // namespace seer::coordinator
