// What --database may name: a path is a SQLite file, "postgresql://..." a PostgreSQL database.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace seer::coordinator {

bool IsPostgres(const std::string& database);  // postgresql:// or postgres://

// `database` as logs and errors may show it: without the password. INVALID_ARGUMENT with
// INVALID_ARGUMENT: a URL that cannot be read, or of another kind of database.
absl::StatusOr<std::string> DatabaseName(const std::string& database);

}  // namespace seer::coordinator
