// One connection to a database that speaks SQL: what SQLite and PostgreSQL have in common, so that
// sql_store and transfer are written once. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/status_macros.h"

namespace seer::coordinator {

struct SqlBytes {
  std::string bytes;
  bool operator==(const SqlBytes&) const = default;
};
using SqlValue = std::variant<int64_t, std::string, SqlBytes>;

// As Run takes it, of one that gives no rows.
struct SqlStatement {
  const char* doing;
  const char* sql;
  std::vector<SqlValue> values;
};

// A row of a result, valid until the reader of rows returns. Columns count from 0.
class SqlRow {
 public:
  virtual int64_t Int(int column) const = 0;
  virtual std::string Text(int column) const = 0;  // also of a column of bytes
 protected:
  ~SqlRow() = default;
};
using SqlRowReader = std::function<absl::Status(const SqlRow& row)>;

// All calls: UNAVAILABLE with DATABASE_UNREACHABLE, DATABASE_LOCKED or STORAGE_FAILED: may be tried
// again. RESOURCE_EXHAUSTED with DISK_FULL. DATA_LOSS with DATABASE_CORRUPT.
class SqlDatabase {
 public:
  virtual ~SqlDatabase() = default;
  // One statement; `doing` says in errors what it is for. Its parameters are $1, $2, ...: each
  // appears for the first time in that order. A reader that fails ends the statement with its
  // error, and must not use this connection.
  virtual absl::Status Run(const char* doing, const std::string& sql,
                           const std::vector<SqlValue>& values = {},
                           const SqlRowReader& reader = nullptr) = 0;
  // In order, up to the first that fails. Within a transaction.
  virtual absl::Status RunAll(const std::vector<SqlStatement>& statements) {
    for (const SqlStatement& statement : statements)
      SEER_RETURN_IF_ERROR(Run(statement.doing, statement.sql, statement.values));
    return absl::OkStatus();
  }
  // Several statements, without parameters.
  virtual absl::Status RunScript(const char* doing, const std::string& sql) = 0;
  // All that `body` runs, or nothing of it. A commit whose answer was lost may have happened: what
  // is then tried again must come to the same.
  absl::Status Transact(const std::function<absl::Status()>& body) {
    SEER_RETURN_IF_ERROR(Begin());
    absl::Status done = body();
    if (done.ok()) done = Commit();
    if (!done.ok()) Rollback();
    return done;
  }
  // A transaction in which all reads see the same state, and that keeps no writer waiting.
  virtual absl::Status BeginSnapshot() = 0;
  virtual void Rollback() = 0;

  virtual absl::StatusOr<int64_t> SchemaVersion() = 0;  // 0: empty
  virtual absl::Status SetSchemaVersion(int64_t version) = 0;
  // The script that brings the schema from `version` to the next, in this database's words.
  virtual const char* Migration(int64_t version) const = 0;
  virtual const std::string& name() const = 0;  // for people: without a password

 protected:
  virtual absl::Status Begin() = 0;  // to write
  virtual absl::Status Commit() = 0;
};

}  // namespace seer::coordinator
