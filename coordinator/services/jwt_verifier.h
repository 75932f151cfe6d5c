// JSON Web Tokens of an OpenID Connect issuer: signature, issuer, audience and times are checked,
// and a claim says the roles. The issuer's keys are fetched when they are first needed, again when
// a token names one that is not known, and once an hour. Thread-safe; Verify may block while they
// are fetched.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/access/role.h"
#include "common/base/clock.h"

namespace seer::coordinator {

struct OidcOptions {
  std::string issuer;                 // URL, as tokens say it; empty: none is taken
  std::string audience;               // that tokens must be for
  std::string roles_claim = "roles";  // a text or a list of them; "a.b" is b within a
  std::vector<std::string> roles;     // "VALUE=ROLE", "VALUE=ROLE@queue:QUEUE": what a value gives
  std::string ca;  // PEM of authorities for the issuer's own certificate; empty: the machine's
};

class JwtVerifier {
 public:
  static constexpr absl::Duration kLeeway = absl::Minutes(1);     // of clocks
  static constexpr absl::Duration kShortest = absl::Seconds(10);  // between fetches of keys
  static constexpr absl::Duration kLongest = absl::Hours(1);

  // INVALID_ARGUMENT: the options. `clock` must outlive it. Does not fetch yet.
  static absl::StatusOr<std::unique_ptr<JwtVerifier>> Make(const OidcOptions& options,
                                                           Clock& clock);

  // UNAUTHENTICATED with TOKEN_INVALID or TOKEN_EXPIRED. UNAVAILABLE with ISSUER_UNREACHABLE: its
  // keys cannot be had. A token that gives no role is a principal without one.
  absl::StatusOr<access::Principal> Verify(const std::string& token) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Key {
    std::string algorithm;  // "RS256" or "ES256"
    std::string pem;
  };
  using Keys = std::map<std::string, Key>;  // by id

  JwtVerifier(OidcOptions options, std::map<std::string, access::Grant> grants, Clock& clock)
      : options_(std::move(options)), grants_(std::move(grants)), clock_(clock) {}
  absl::StatusOr<Key> KeyOf(const std::string& id) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<Keys> Fetch() const;

  const OidcOptions options_;
  const std::map<std::string, access::Grant> grants_;  // by the claim's value
  Clock& clock_;
  absl::Mutex mu_;
  bool fetching_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration fetched_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();  // last tried, steady
  absl::Status failure_ ABSL_GUARDED_BY(mu_);                                // of that fetch
  Keys keys_ ABSL_GUARDED_BY(mu_);
};

}  // namespace seer::coordinator
