#include "common/access/remote_authenticator.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"

namespace seer::access {

absl::StatusOr<Principal> RemoteAuthenticator::Authenticate(const std::string& token) {
  const std::string digest = Sha256Hex(token);
  const absl::Duration now = clock_.Steady();
  {
    absl::MutexLock lock(&mu_);
    const auto it = answers_.find(digest);
    if (it != answers_.end() && now - it->second.asked < kKept) {
      if (it->second.principal.ok() && it->second.principal->expires <= clock_.Now())
        return ExpiredToken(it->second.principal->expires);
      return it->second.principal;
    }
  }
  v1::Principal answer;
  RetryOptions retry;
  retry.attempts = 3;
  retry.deadline = absl::Seconds(3);
  const absl::Status asked = CallWithRetry(
      retry, "the coordinator, which knows tokens", [&](grpc::ClientContext& context) {
        context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
        return FromGrpc(coordinator_->Authenticate(&context, v1::AuthenticateRequest(), &answer));
      });
  absl::StatusOr<Principal> principal = asked.ok() ? FromProto(answer) : asked;
  absl::MutexLock lock(&mu_);
  if (!principal.ok() && !absl::IsUnauthenticated(principal.status())) {
    const auto it = answers_.find(digest);
    if (it != answers_.end() && now - it->second.asked < kKeptAlone && it->second.principal.ok() &&
        it->second.principal->expires > clock_.Now())
      return it->second.principal;
    return principal;
  }
  if (answers_.size() >= kMaxKept) answers_.clear();
  answers_.insert_or_assign(digest, Answer{principal, now});
  return principal;
}

v1::Principal ToProto(const Principal& principal) {
  v1::Principal proto;
  proto.set_name(principal.name);
  for (const Grant& grant : principal.grants) {
    v1::Grant& out = *proto.add_grants();
    out.set_role(RoleName(grant.role));
    out.set_queue(grant.queue);
    out.set_pool(grant.pool);
  }
  if (principal.expires != absl::InfiniteFuture())
    proto.mutable_expire_time()->set_seconds(absl::ToUnixSeconds(principal.expires));
  return proto;
}

absl::StatusOr<Principal> FromProto(const v1::Principal& proto) {
  Principal principal;
  principal.name = proto.name();
  for (const v1::Grant& grant : proto.grants()) {
    SEER_ASSIGN_OR_RETURN(const Role role, ParseRole(grant.role()));
    principal.grants.push_back({role, grant.queue(), grant.pool()});
  }
  if (proto.has_expire_time())
    principal.expires = absl::FromUnixSeconds(proto.expire_time().seconds());
  return principal;
}

}  // namespace seer::access
