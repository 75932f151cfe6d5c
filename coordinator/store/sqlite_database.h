// A SQLite file in WAL mode.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/store/sql_database.h"

namespace seer::coordinator {

// To write: made if absent, locked for as long as it is open, checked. FAILED_PRECONDITION with
// DATABASE_LOCKED: another coordinator has it. DATA_LOSS with DATABASE_CORRUPT. UNAVAILABLE with
// STORAGE_FAILED: the folder or the file cannot be written.
absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenSqlite(const std::string& path);

// To read, also while a coordinator has it. NOT_FOUND with DATABASE_NOT_FOUND: there is no such
// file; else as OpenSqlite.
absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenSqliteToRead(const std::string& path);

}  // namespace seer::coordinator
