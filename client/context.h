// Which cluster the command line talks to: a context of the file (context_file.h), the environment,
// and flags.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/security.h"

namespace seer::client {

struct Contexts;

// That of `seer cluster up`, which writes it anew each time.
inline constexpr char kLocalContext[] = "local";

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
  std::string context = {};  // --context, the name of one of the file
};

// The context that calls go by. Flags win over the environment (SEER_COORDINATOR, SEER_DATASERVICE,
// SEER_TOKEN, SEER_TLS_CA, SEER_TLS_CERT, SEER_TLS_KEY), which wins over the file's context
// SEER_CONTEXT, or else its current one. A context that --context names is taken as it stands: over
// it only flags win, so that one cluster's token does not go to another. Empty addresses stay
// empty. INVALID_ARGUMENT: there is none of that name; or SEER_TOKEN is set but empty, and no
// --token-file is said: whether the file's token is meant cannot be known.
absl::StatusOr<Context> LoadContext(const ContextFlags& flags);

// The context that `seer auth login` is to keep, without its token. With a coordinator of flags or
// environment it is theirs alone: nothing of what the file has under its name, which is --context,
// SEER_CONTEXT, or the address (`ContextName`). Without one it is the file's, under what flags and
// environment say. INVALID_ARGUMENT: no such context, or its name is refused. UNAVAILABLE: no
// coordinator is known.
absl::StatusOr<Context> LoginContext(const ContextFlags& flags, const Contexts& saved);

// A name for the context of a cluster by its first address: the host, with the port unless it is
// 7070 or `saved` has that name for another cluster.
std::string ContextName(const std::string& coordinator, const Contexts& saved);

// The name that --context or SEER_CONTEXT gives; empty: neither.
std::string NamedContext(const ContextFlags& flags);

}  // namespace seer::client
