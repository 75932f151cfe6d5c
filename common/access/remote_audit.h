// The audit of a server that keeps no database: each entry is a line of its log, and is told to the
// coordinator with the token of the call that it is about. While no coordinator answers, the line
// is all. Thread-safe; Record blocks, little longer than kDeadline.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/access/guard.h"
#include "seer/internal/v1/audit.grpc.pb.h"

namespace seer::access {

class RemoteAudit {
 public:
  static constexpr absl::Duration kDeadline = absl::Seconds(3);

  explicit RemoteAudit(std::unique_ptr<internal::v1::Audits::StubInterface> coordinator)
      : coordinator_(std::move(coordinator)) {}
  void Record(const AuditEntry& entry, const std::string& token);

 private:
  const std::unique_ptr<internal::v1::Audits::StubInterface> coordinator_;
};

}  // namespace seer::access
