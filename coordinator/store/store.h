// Where the coordinator's truth lives. One writer: the loop that owns the core. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/core/core.h"

namespace seer::coordinator {

class Store {
 public:
  virtual ~Store() = default;
  virtual absl::StatusOr<StoredState> Load() = 0;
  // All of it or nothing, durable on return. `core` holds the new values.
  // RESOURCE_EXHAUSTED with DISK_FULL; UNAVAILABLE with STORAGE_FAILED:
  // nothing changed, it may be tried again.
  virtual absl::Status Apply(const Changes& changes, const Core& core) = 0;
  // Events of `job` (empty: of all) with a larger number, oldest first, at most `limit`.
  virtual absl::StatusOr<std::vector<Event>> Events(const std::string& job, int64_t after,
                                                    int limit) = 0;
};

// SQLite in WAL mode, made if absent. FAILED_PRECONDITION with DATABASE_LOCKED: another coordinator
// has it; DATABASE_TOO_NEW: a newer version wrote it. DATA_LOSS with DATABASE_CORRUPT.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path);

// Forgets all when it is destroyed. For tests.
std::unique_ptr<Store> MakeMemoryStore();

}  // namespace seer::coordinator
