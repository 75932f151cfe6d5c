// seer.internal.v1.Audits: entries of servers that keep no database.
#pragma once

#include "common/base/clock.h"
#include "coordinator/services/audit_log.h"
#include "coordinator/services/token_table.h"
#include "seer/internal/v1/audit.grpc.pb.h"

namespace seer::coordinator {

class AuditsService final : public internal::v1::Audits::Service {
 public:
  // All must outlive it.
  AuditsService(AuditLog& audit, TokenTable& tokens, Clock& clock)
      : audit_(audit), tokens_(tokens), clock_(clock) {}
  grpc::Status RecordEntry(grpc::ServerContext* context,
                           const internal::v1::RecordEntryRequest* request,
                           internal::v1::RecordEntryResponse* response) override;

 private:
  absl::Status Record(const grpc::ServerContext& context, const v1::AuditEntry& told);

  AuditLog& audit_;
  TokenTable& tokens_;
  Clock& clock_;
};

}  // namespace seer::coordinator
