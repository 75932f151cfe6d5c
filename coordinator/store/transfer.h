// Copies of a whole database: into another one, into a file and out of it. Each is all or nothing;
// a target must be empty. Blocking.
//
// A backup is a file of JSON lines: a head with the version of file and schema, a line a row (bytes
// as {"base64": ...}), and an end with the number of rows and the SHA-256 of all lines before it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace seer::coordinator {

using RowCounts = std::map<std::string, int64_t>;  // by table

// All of them, beside errors of OpenSqlite and OpenPostgres:
// NOT_FOUND with DATABASE_NOT_FOUND: no coordinator has used the source. FAILED_PRECONDITION with
// DATABASE_TOO_NEW: a newer version wrote it; DATABASE_NOT_EMPTY: the target; DATABASE_LOCKED: a
// coordinator uses a database that must be left alone. DATA_LOSS with DATABASE_CORRUPT: a record
// cannot be read, or the target does not have what was written.

// No coordinator may use either.
absl::StatusOr<RowCounts> MigrateDatabase(const std::string& from, const std::string& to);

// The state at one moment; a coordinator may use it meanwhile. ALREADY_EXISTS with
// INVALID_ARGUMENT: the file is there. RESOURCE_EXHAUSTED with DISK_FULL.
absl::StatusOr<RowCounts> BackUpDatabase(const std::string& database, const std::string& file);

// DATA_LOSS with BACKUP_CORRUPT: not a whole backup; the database is not touched.
absl::StatusOr<RowCounts> RestoreDatabase(const std::string& file, const std::string& database);

}  // namespace seer::coordinator
