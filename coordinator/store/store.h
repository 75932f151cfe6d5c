// Where the coordinator's truth lives. Not thread-safe: CoreRunner sees to it that one thread at a
// time uses it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/core/core.h"
#include "coordinator/store/access_store.h"

namespace seer::coordinator {

class LeaderLease;

class Store {
 public:
  virtual ~Store() = default;
  // First: commits are of the leader's term `term` from now on (leader_lease.h), and fail with
  // NOT_LEADER once that is over. Where the store is this process's alone it means nothing.
  virtual absl::Status BeginTerm(int64_t term) { return absl::OkStatus(); }
  virtual absl::StatusOr<StoredState> Load() = 0;
  // All of `changes` or nothing, durable on return. To be run once.
  // RESOURCE_EXHAUSTED with DISK_FULL; UNAVAILABLE with STORAGE_FAILED, DATABASE_LOCKED or
  // DATABASE_UNREACHABLE: the changes may be prepared again, with more on top. UNAVAILABLE with
  // NOT_LEADER: never again.
  using Commit = absl::AnyInvocable<absl::Status()>;
  // `core` holds the new values: they are copied, and the store is not asked.
  virtual Commit Prepare(const Changes& changes, const Core& core) = 0;
  absl::Status Apply(const Changes& changes, const Core& core) { return Prepare(changes, core)(); }
  // Events of `job` (empty: of all) with a larger number, oldest first, at most `limit`.
  virtual absl::StatusOr<std::vector<Event>> Events(const std::string& job, int64_t after,
                                                    int limit) = 0;
  // Tokens and the audit, in the same database and under the same lease.
  virtual AccessStore& access() = 0;
};

struct OpenedDatabase {
  OpenedDatabase();
  OpenedDatabase(OpenedDatabase&&);
  ~OpenedDatabase();
  std::unique_ptr<Store> store;
  std::unique_ptr<LeaderLease> lease;  // nullptr: the database is this process's alone
};

// `database`: a path is a SQLite file, made if absent; "postgresql://..." a database that other
// coordinators may use, too: one that is silent for `lease` may be replaced by another. Errors of
// OpenSqlite, OpenPostgres and CheckSchema.
absl::StatusOr<OpenedDatabase> OpenDatabase(const std::string& database,
                                            absl::Duration lease = absl::Seconds(5));

// Forgets all when it is destroyed. For tests.
std::unique_ptr<Store> MakeMemoryStore();

}  // namespace seer::coordinator
