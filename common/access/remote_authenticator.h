// Asks the coordinator whom a token speaks for, as the token's own owner: a server that is no
// coordinator keeps no tokens. Answers are kept for a minute, and for ten while the coordinator
// cannot be reached, so that training goes on without it. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "common/access/authenticator.h"
#include "common/base/clock.h"
#include "seer/v1/access.grpc.pb.h"

namespace seer::access {

class RemoteAuthenticator final : public Authenticator {
 public:
  static constexpr absl::Duration kKept = absl::Seconds(60);
  static constexpr absl::Duration kKeptAlone = absl::Minutes(10);
  static constexpr size_t kMaxKept = 10'000;  // beyond it all are forgotten

  // `clock` must outlive it.
  RemoteAuthenticator(std::unique_ptr<v1::Access::StubInterface> coordinator, Clock& clock)
      : coordinator_(std::move(coordinator)), clock_(clock) {}
  absl::StatusOr<Principal> Authenticate(const std::string& token) override
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Answer {
    absl::StatusOr<Principal> principal;
    absl::Duration asked;  // steady time
  };
  const std::unique_ptr<v1::Access::StubInterface> coordinator_;
  Clock& clock_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, Answer> answers_ ABSL_GUARDED_BY(mu_);  // by the token's digest
};

// On the wire and back.
v1::Principal ToProto(const Principal& principal);
absl::StatusOr<Principal> FromProto(const v1::Principal& principal);

}  // namespace seer::access
