#include "client/commands/checkpoint_name.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace seer::client {

std::string CheckpointName(const std::string& text) {
  std::string name = absl::StartsWith(text, "jobs/") ? text : absl::StrCat("jobs/", text);
  const size_t slash = name.rfind('/');
  if (!absl::StrContains(name, "/checkpoints/") && slash > 5)
    name = absl::StrCat(name.substr(0, slash), "/checkpoints", name.substr(slash));
  return name;
}

}  // namespace seer::client
