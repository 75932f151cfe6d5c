// A PostgreSQL database (14 or newer) over one connection, which is made again when it breaks.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/store/sql_database.h"

namespace seer::coordinator {

struct PostgresOptions {
  // Of connecting to one host, and of a wait for the server within a statement.
  absl::Duration limit = absl::Seconds(5);
  // The server ends a connection that leaves a transaction alone for so long; zero: never. Its
  // locks are gone then, though this process may be stopped or cut off.
  absl::Duration transaction_limit = absl::ZeroDuration();
};

// Connects. UNAVAILABLE with DATABASE_UNREACHABLE; UNAUTHENTICATED or PERMISSION_DENIED with
// DATABASE_ACCESS_DENIED; NOT_FOUND with DATABASE_NOT_FOUND; INVALID_ARGUMENT with
// INVALID_ARGUMENT: the URL, or a database that is not in UTF-8.
absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenPostgres(const std::string& url,
                                                          const PostgresOptions& options);

}  // namespace seer::coordinator
