#include "common/access/remote_audit.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"

namespace seer::access {

void RemoteAudit::Record(const AuditEntry& entry, const std::string& token) {
  LogAuditEntry(entry);
  internal::v1::RecordEntryRequest request;
  v1::AuditEntry& told = *request.mutable_entry();
  *told.mutable_create_time() =
      google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(entry.time));
  told.set_method(entry.method);
  told.set_resource(entry.resource);
  told.set_request_id(entry.request_id);
  told.set_code(entry.code);
  told.set_reason(entry.reason);
  told.set_peer(entry.peer);
  RetryOptions retry;
  retry.attempts = 3;
  retry.deadline = kDeadline / retry.attempts;
  const absl::Status recorded = CallWithRetry(
      retry, "the coordinator, which keeps the audit", [&](grpc::ClientContext& context) {
        context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
        internal::v1::RecordEntryResponse answer;
        return FromGrpc(coordinator_->RecordEntry(&context, request, &answer));
      });
  if (!recorded.ok()) LogWarn("audit_not_written", {{"error", StatusText(recorded)}});
}

}  // namespace seer::access
