#include "coordinator/services/access_service.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/access/remote_authenticator.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/rules.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/page_token.h"
#include "seer/v1/job_spec.pb.h"
#include "seer/v1/sweeps.pb.h"

namespace seer::coordinator {
namespace {

constexpr absl::Duration kDefaultLife = absl::Hours(24 * 90), kLongestLife = absl::Hours(24 * 366);

v1::Token ToProto(const TokenRecord& record) {
  v1::Token token;
  token.set_name(absl::StrCat("tokens/", record.name));
  token.set_role(record.role);
  token.set_queue(record.queue);
  token.set_pool(record.pool);
  token.set_creator(record.creator);
  SetTime(record.created, token.mutable_create_time());
  SetTime(record.expires, token.mutable_expire_time());
  if (record.revoked != absl::InfinitePast()) SetTime(record.revoked, token.mutable_revoke_time());
  return token;
}

std::string NameOf(const std::string& name) {
  return std::string(absl::StripPrefix(name, "tokens/"));
}

access::Target TargetOf(const std::string& serialized_spec) {
  v1::JobSpec spec;
  spec.ParseFromString(serialized_spec);
  return access::TargetOfSpec(spec);
}

}  // namespace

absl::StatusOr<access::Target> FindTarget(CoreRunner& runner, access::About about,
                                          const std::string& name) {
  access::Target target;
  SEER_RETURN_IF_ERROR(runner.Read([&](const Core& core, Store&) -> absl::Status {
    if (about == access::About::kSchedule) {
      SEER_ASSIGN_OR_RETURN(const JobSchedule* schedule, core.FindSchedule(name));
      target = TargetOf(schedule->spec);
    } else if (about == access::About::kSweep) {
      SEER_ASSIGN_OR_RETURN(const Sweep* sweep, core.FindSweep(name));
      v1::Sweep definition;
      definition.ParseFromString(sweep->definition);
      target = access::TargetOfSpec(definition.spec());
    } else {
      absl::string_view job = absl::StripPrefix(name, "jobs/");  // or of what lies below it
      SEER_ASSIGN_OR_RETURN(const Job* found, core.Find(std::string(job.substr(0, job.find('/')))));
      target = TargetOf(found->spec);
    }
    return absl::OkStatus();
  }));
  return target;
}

absl::StatusOr<access::Principal> AccessService::Caller(const grpc::ServerContext& context) {
  if (!guarded_) return access::Principal{"anonymous", {{access::Role::kAdmin, "", ""}}};
  SEER_ASSIGN_OR_RETURN(const std::string token, access::TokenOf(context));
  return tokens_.Authenticate(token);
}

absl::Status AccessService::Create(const grpc::ServerContext& context, const v1::Token& wanted,
                                   v1::CreateTokenResponse& out) {
  SEER_ASSIGN_OR_RETURN(const access::Principal caller, Caller(context));
  TokenRecord record;
  record.name = NameOf(wanted.name());
  SEER_RETURN_IF_ERROR(CheckName("name", record.name));
  SEER_ASSIGN_OR_RETURN(const access::Role role, access::ParseRole(wanted.role()));
  record.role = access::RoleName(role);
  record.queue = std::string(absl::StripPrefix(wanted.queue(), "queues/"));
  record.pool = std::string(absl::StripPrefix(wanted.pool(), "pools/"));
  if (role == access::Role::kWorker && !(record.queue.empty() && record.pool.empty())) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 "the role worker cannot be bound: agents run jobs of all queues")
        .Field("role")
        .Hint("leave out queue and pool");
  }
  if (!record.queue.empty()) {
    SEER_RETURN_IF_ERROR(runner_.Read(
        [&](const Core& core, Store&) { return core.FindQueue(record.queue).status(); }));
  }
  record.created = clock_.Now();
  record.expires =
      wanted.has_expire_time() ? FromProto(wanted.expire_time()) : record.created + kDefaultLife;
  if (record.expires <= record.created || record.expires > record.created + kLongestLife) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 "a token expires within a year from now")
        .Field("expire_time")
        .Hint("as --expires 90d; make another one before it is over");
  }
  record.creator = caller.name;
  SEER_ASSIGN_OR_RETURN(*out.mutable_secret(), tokens_.Create(record));
  *out.mutable_token() = ToProto(record);
  return absl::OkStatus();
}

absl::Status AccessService::List(const v1::ListTokensRequest& request,
                                 v1::ListTokensResponse& out) {
  SEER_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  SEER_ASSIGN_OR_RETURN(const auto from, ReadPageToken("tokens", 1, request.page_token()));
  SEER_ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, tokens_.List());
  std::string last;
  for (const TokenRecord& token : tokens) {
    if (!from.empty() && token.name <= from[0]) continue;
    if (out.tokens_size() == size) {
      out.set_next_page_token(MakePageToken("tokens", {last}));
      break;
    }
    last = token.name;
    *out.add_tokens() = ToProto(token);
  }
  return absl::OkStatus();
}

absl::Status AccessService::ListAudit(const v1::ListAuditEntriesRequest& request,
                                      v1::ListAuditEntriesResponse& out) {
  SEER_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  SEER_ASSIGN_OR_RETURN(const auto from, ReadPageToken("audit", 1, request.page_token()));
  AuditQuery query{request.principal(), request.method(), request.resource()};
  if (request.has_after_time()) query.after = FromProto(request.after_time());
  query.limit = size + 1;
  if (!from.empty() && !absl::SimpleAtoi(from[0], &query.below))
    return ReadPageToken("audit", 1, "!").status();
  return runner_.Read([&](const Core&, Store& store) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const std::vector<AuditRecord> entries, store.access().Audit(query));
    for (const AuditRecord& entry : entries) {
      if (out.entries_size() == size) {
        out.set_next_page_token(
            MakePageToken("audit", {absl::StrCat(out.entries().rbegin()->number())}));
        break;
      }
      v1::AuditEntry& proto = *out.add_entries();
      proto.set_number(entry.number);
      SetTime(entry.time, proto.mutable_create_time());
      proto.set_principal(entry.principal);
      proto.set_method(entry.method);
      proto.set_resource(entry.resource);
      proto.set_request_id(entry.request_id);
      proto.set_code(entry.code);
      proto.set_reason(entry.reason);
      proto.set_peer(entry.peer);
    }
    return absl::OkStatus();
  });
}

grpc::Status AccessService::Authenticate(grpc::ServerContext* context,
                                         const v1::AuthenticateRequest*, v1::Principal* out) {
  const auto caller = Caller(*context);
  if (caller.ok()) *out = access::ToProto(*caller);
  return ToGrpc(caller.status());
}
grpc::Status AccessService::CreateToken(grpc::ServerContext* context,
                                        const v1::CreateTokenRequest* request,
                                        v1::CreateTokenResponse* out) {
  return ToGrpc(Create(*context, request->token(), *out));
}
grpc::Status AccessService::ListTokens(grpc::ServerContext*, const v1::ListTokensRequest* request,
                                       v1::ListTokensResponse* out) {
  return ToGrpc(List(*request, *out));
}
grpc::Status AccessService::RevokeToken(grpc::ServerContext*, const v1::RevokeTokenRequest* request,
                                        v1::Token* out) {
  const auto revoked = tokens_.Revoke(NameOf(request->name()));
  if (revoked.ok()) {
    *out = ToProto(*revoked);
    if (revoked->role == access::RoleName(access::Role::kWorker)) worker_revoked_();
  }
  return ToGrpc(revoked.status());
}
grpc::Status AccessService::ListAuditEntries(grpc::ServerContext*,
                                             const v1::ListAuditEntriesRequest* request,
                                             v1::ListAuditEntriesResponse* out) {
  return ToGrpc(ListAudit(*request, *out));
}

}  // namespace seer::coordinator
