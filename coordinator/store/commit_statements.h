// What a commit of the core's changes does to the database, one text for SQLite and PostgreSQL.
// Statements come to the same when they are repeated: a commit whose answer was lost is made again.
#pragma once

#include <vector>

#include "coordinator/core/core.h"
#include "coordinator/store/sql_database.h"

namespace seer::coordinator {

// Those of all `changes`, whose new values `core` holds, within one transaction.
std::vector<SqlStatement> CommitStatements(const Changes& changes, const Core& core);

}  // namespace seer::coordinator
