// The tokens of this cluster, as the database has them: whom each speaks for. Thread-safe; calls
// may block while the database is read, once each time that this coordinator begins to lead.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/access/authenticator.h"
#include "common/base/clock.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/jwt_verifier.h"
#include "coordinator/store/access_store.h"

namespace seer::coordinator {

class TokenTable final : public access::Authenticator {
 public:
  // Secrets that stand in no database, and whom they speak for.
  using Fixed = std::vector<std::pair<std::string, access::Principal>>;
  // All must outlive it. `issuer`: who vouches for tokens that are not this cluster's own; nullptr:
  // nobody.
  TokenTable(CoreRunner& runner, Clock& clock, const Fixed& fixed, JwtVerifier* issuer);

  // Also UNAVAILABLE with NOT_LEADER, and errors of the database and of the issuer.
  absl::StatusOr<access::Principal> Authenticate(const std::string& token) override
      ABSL_LOCKS_EXCLUDED(mu_);

  // All, by name. Errors of the database, as below.
  absl::StatusOr<std::vector<TokenRecord>> List() ABSL_LOCKS_EXCLUDED(mu_);
  // Makes the secret and its digest. ALREADY_EXISTS with TOKEN_EXISTS: one of the name is in force.
  absl::StatusOr<std::string> Create(TokenRecord record) ABSL_LOCKS_EXCLUDED(mu_);
  // NOT_FOUND with TOKEN_NOT_FOUND.
  absl::StatusOr<TokenRecord> Revoke(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  // Another coordinator may have changed them.
  void Forget() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mu_);
  bool InForce(const TokenRecord& record) const {
    return record.revoked == absl::InfinitePast() && record.expires > clock_.Now();
  }

  CoreRunner& runner_;
  Clock& clock_;
  JwtVerifier* const issuer_;
  std::map<std::string, access::Principal> fixed_;  // by digest
  absl::Mutex mu_;
  bool loaded_ ABSL_GUARDED_BY(mu_) = false;
  std::map<std::string, TokenRecord> by_name_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> names_ ABSL_GUARDED_BY(mu_);  // by digest
};

}  // namespace seer::coordinator
