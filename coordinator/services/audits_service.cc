#include "coordinator/services/audits_service.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/access/methods.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/peer.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/convert.h"

namespace seer::coordinator {
namespace {

// Those that change something at a data service.
constexpr char kAudited[] = "seer.v1.Pools/";

}  // namespace

grpc::Status AuditsService::RecordEntry(grpc::ServerContext* context,
                                        const internal::v1::RecordEntryRequest* request,
                                        internal::v1::RecordEntryResponse*) {
  return ToGrpc(Record(*context, request->entry()));
}

absl::Status AuditsService::Record(const grpc::ServerContext& context, const v1::AuditEntry& told) {
  SEER_ASSIGN_OR_RETURN(const std::string token, access::TokenOf(context));
  SEER_ASSIGN_OR_RETURN(const access::Principal caller, tokens_.Authenticate(token));
  const access::MethodRule* const rule = access::FindMethod(told.method());
  if (rule == nullptr || !rule->changes || !absl::StartsWith(told.method(), kAudited)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("'", told.method(), "' changes nothing at a data service"))
        .Field("entry.method")
        .Hint("coordinators record calls of their own services by themselves");
  }
  audit_.Record({std::min(FromProto(told.create_time()), clock_.Now()), caller.name, told.method(),
                 told.resource(), told.request_id(), told.code(), told.reason(),
                 absl::StrCat(told.peer(), " at ", PeerOf(context))});
  return absl::OkStatus();
}

}  // namespace seer::coordinator
