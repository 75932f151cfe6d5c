// What the shell offers for an option's value, or for an argument: words, names that the cluster
// has, files, or nothing. Pure.
#pragma once

#include <string>

namespace CLI {
class Option;
}

namespace seer::client {

struct CompletionValue {
  std::string words;  // of an enumeration, with spaces between
  // Otherwise "job", "pool", "worker", "queue", "sweep", "schedule", "token", "checkpoint",
  // "recipe", "context": `seer KIND list -o name` has them; "file"; or "none".
  std::string kind;
};

// `path`: of the command that `option` is of, "job list"; empty: a global option.
CompletionValue ValueOf(const std::string& path, const CLI::Option& option);

}  // namespace seer::client
