// From the token of a call to whom it speaks for.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/access/role.h"

namespace grpc {
class ServerContextBase;
}

namespace seer::access {

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // Thread-safe; may block for a moment. UNAUTHENTICATED with TOKEN_INVALID, TOKEN_EXPIRED or
  // TOKEN_REVOKED. UNAVAILABLE: it cannot be known now.
  virtual absl::StatusOr<Principal> Authenticate(const std::string& token) = 0;
};

// The token that a call carries ("authorization: Bearer ..."). UNAUTHENTICATED with TOKEN_MISSING:
// none; TOKEN_INVALID: several, or something else.
absl::StatusOr<std::string> TokenOf(const grpc::ServerContextBase& context);

// UNAUTHENTICATED with TOKEN_EXPIRED.
absl::Status ExpiredToken(absl::Time when);

// A new secret, "seer_" and 43 characters of 256 random bits.
std::string NewToken();

}  // namespace seer::access
