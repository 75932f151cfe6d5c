#include "coordinator/services/audit_log.h"

#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"

namespace seer::coordinator {

void AuditLog::Record(const access::AuditEntry& entry) {
  {
    absl::MutexLock lock(&mu_);
    waiting_.push_back(entry);
  }
  const absl::Status written = runner_.Write([this](Store& store) { return Write(store); });
  if (written.ok()) return;
  std::vector<access::AuditEntry> left;
  {
    absl::MutexLock lock(&mu_);
    left.swap(waiting_);
  }
  if (!left.empty() && !HasReason(written, reason::kNotLeader))
    LogWarn("audit_not_written", {{"error", StatusText(written)}});
  for (const access::AuditEntry& unwritten : left) access::LogAuditEntry(unwritten);
}

absl::Status AuditLog::Write(Store& store) {
  std::vector<AuditRecord> records;
  std::vector<access::AuditEntry> entries;
  {
    absl::MutexLock lock(&mu_);
    entries.swap(waiting_);
  }
  if (entries.empty()) return absl::OkStatus();  // another caller's thread wrote them
  for (const access::AuditEntry& e : entries)
    records.push_back(
        {0, e.time, e.who, e.method, e.resource, e.request_id, e.code, e.reason, e.peer});
  const absl::Status appended = store.access().AppendAudit(records);
  if (!appended.ok()) {
    absl::MutexLock lock(&mu_);
    waiting_.insert(waiting_.end(), entries.begin(), entries.end());
    return appended;
  }
  const absl::Time now = entries.back().time;
  if (now - dropped_ < absl::Hours(24)) return absl::OkStatus();
  dropped_ = now;
  return store.access().DropAuditBefore(now - kKept);
}

}  // namespace seer::coordinator
