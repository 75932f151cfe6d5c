// Which cluster the command line talks to: ${SEER_CONFIG:-~/.config/seer/config.yaml}.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace seer::client {

struct Context {
  std::string name;
  std::string coordinator;               // host:port; of several, all with commas
  std::vector<std::string> dataservice;  // replicas
};

// Flags win over the environment (SEER_COORDINATOR, SEER_DATASERVICE), which wins over the file.
// Empty addresses stay empty.
absl::StatusOr<Context> LoadContext(const std::string& coordinator_flag,
                                    const std::vector<std::string>& dataservice_flag);
// Puts `context` into the file and makes it the current one; others stay.
absl::Status SaveContext(const Context& context);
std::string ConfigPath();

}  // namespace seer::client
