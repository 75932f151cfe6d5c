// The command line of security, the same for every program.
#pragma once

#include "common/rpc/security.h"

namespace CLI {
class App;
}

namespace seer {

enum class SecurityRole {
  kClient,  // --tls-ca, --tls-cert, --tls-key, --token-file, --insecure
  kServer,  // also --tls-client-ca
};

// `options` outlives `app`.
void AddSecurityFlags(CLI::App& app, SecurityRole role, SecurityOptions& options);

// A server's --auth, none or tokens. `authenticate`: whether it is tokens; outlives `app`.
void AddAuthFlag(CLI::App& app, bool& authenticate);

}  // namespace seer
