// The record of what people changed, in the database: each entry before its call is answered, those
// that come at the same time in one transaction. What cannot be written there goes to the process's
// log. Entries are kept for 400 days. Thread-safe; Record blocks, not on the runner's loop.
#pragma once

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/access/guard.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/store/access_store.h"

namespace seer::coordinator {

class AuditLog {
 public:
  static constexpr absl::Duration kKept = absl::Hours(24 * 400);
  explicit AuditLog(CoreRunner& runner) : runner_(runner) {}  // must outlive it
  void Record(const access::AuditEntry& entry) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Status Write(Store& store) ABSL_LOCKS_EXCLUDED(mu_);

  CoreRunner& runner_;
  absl::Mutex mu_;
  std::vector<access::AuditEntry> waiting_ ABSL_GUARDED_BY(mu_);
  absl::Time dropped_ = absl::InfinitePast();  // when old ones were; the writer's
};

}  // namespace seer::coordinator
