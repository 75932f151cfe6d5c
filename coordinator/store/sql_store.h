// The store in a SQL database: one text of every statement for SQLite and PostgreSQL.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "coordinator/store/sql_database.h"
#include "coordinator/store/store.h"

namespace seer::coordinator {

// FAILED_PRECONDITION with DATABASE_TOO_NEW: a newer version wrote it.
absl::Status CheckSchema(SqlDatabase& database);

// Brings the schema of `database` to this version, each step in a transaction of its own, in which
// `check` is asked first. Errors of CheckSchema and `check`.
absl::Status MigrateSchema(SqlDatabase& database, const std::function<absl::Status()>& check);

// What is in it. DATA_LOSS with DATABASE_CORRUPT.
absl::StatusOr<StoredState> LoadState(SqlDatabase& database);

// `shared`: other coordinators may lead on it (leader_lease.h).
std::unique_ptr<Store> MakeSqlStore(std::unique_ptr<SqlDatabase> database, bool shared);

}  // namespace seer::coordinator
