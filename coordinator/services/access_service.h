// seer.v1.Access, and what the guard of calls asks of the coordinator. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "common/access/guard.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/token_table.h"
#include "seer/v1/access.grpc.pb.h"

namespace seer::coordinator {

// In which queue and pool a job, a schedule or a sweep lies: access::AccessGuard::Find. Blocks.
absl::StatusOr<access::Target> FindTarget(CoreRunner& runner, access::About about,
                                          const std::string& name);

class AccessService final : public v1::Access::Service {
 public:
  // All must outlive the service. `guarded`: callers are known; otherwise each may do all.
  // `worker_revoked`: agents have to show their tokens again.
  AccessService(CoreRunner& runner, TokenTable& tokens, Clock& clock, bool guarded,
                std::function<void()> worker_revoked)
      : runner_(runner),
        tokens_(tokens),
        clock_(clock),
        guarded_(guarded),
        worker_revoked_(std::move(worker_revoked)) {}
  grpc::Status Authenticate(grpc::ServerContext*, const v1::AuthenticateRequest*,
                            v1::Principal*) override;
  grpc::Status CreateToken(grpc::ServerContext*, const v1::CreateTokenRequest*,
                           v1::CreateTokenResponse*) override;
  grpc::Status ListTokens(grpc::ServerContext*, const v1::ListTokensRequest*,
                          v1::ListTokensResponse*) override;
  grpc::Status RevokeToken(grpc::ServerContext*, const v1::RevokeTokenRequest*,
                           v1::Token*) override;
  grpc::Status ListAuditEntries(grpc::ServerContext*, const v1::ListAuditEntriesRequest*,
                                v1::ListAuditEntriesResponse*) override;

 private:
  absl::StatusOr<access::Principal> Caller(const grpc::ServerContext& context);
  absl::Status Create(const grpc::ServerContext& context, const v1::Token& wanted,
                      v1::CreateTokenResponse& out);
  absl::Status List(const v1::ListTokensRequest& request, v1::ListTokensResponse& out);
  absl::Status ListAudit(const v1::ListAuditEntriesRequest& request,
                         v1::ListAuditEntriesResponse& out);

  CoreRunner& runner_;
  TokenTable& tokens_;
  Clock& clock_;
  const bool guarded_;
  const std::function<void()> worker_revoked_;
};

}  // namespace seer::coordinator
