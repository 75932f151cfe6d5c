// Which cluster the command line talks to: ${SEER_CONFIG:-~/.config/seer/config.yaml}.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/security.h"

namespace seer::client {

struct Context {
  std::string name;
  std::string coordinator;               // host:port; of several, all with commas
  std::vector<std::string> dataservice;  // replicas
  SecurityOptions security = {};         // of a token, the file has the text
};

// What the command line says of a context.
struct ContextFlags {
  std::string coordinator;
  std::vector<std::string> dataservice = {};
  SecurityOptions security = {};
};

// INVALID_ARGUMENT: SEER_TOKEN is set but empty, and no --token-file is said: whether the file's
// token is meant cannot be known.
// Flags win over the environment (SEER_COORDINATOR, SEER_DATASERVICE, SEER_TOKEN, SEER_TLS_CA,
// SEER_TLS_CERT, SEER_TLS_KEY), which wins over the file. Empty addresses stay empty.
absl::StatusOr<Context> LoadContext(const ContextFlags& flags);
// What the file alone says; without a file an empty one.
absl::StatusOr<Context> SavedContext();
// Puts `context` into the file and makes it the current one; others stay. Only
// the user may read the file.
absl::Status SaveContext(const Context& context);
std::string ConfigPath();

}  // namespace seer::client
