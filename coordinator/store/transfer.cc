#include "coordinator/store/transfer.h"

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "coordinator/store/backup_file.h"
#include "coordinator/store/database_url.h"
#include "coordinator/store/leader_lease.h"
#include "coordinator/store/postgres_database.h"
#include "coordinator/store/sql_store.h"
#include "coordinator/store/sqlite_database.h"
#include "store_migrations.h"

namespace seer::coordinator {
namespace {

// How the columns of a table are read.
enum class Kind { kInt, kText, kBytes };
struct Table {
  const char* name;
  std::vector<std::pair<const char*, Kind>> columns;
  size_t later = 0;  // of these, the last that backups of older versions lack: 0 in their place
};

// All tables of the schema's newest version.
const std::vector<Table>& Tables() {
  static const auto& tables = *new std::vector<Table>{
      {"jobs",
       {{"id", Kind::kText},
        {"state", Kind::kText},
        {"spec", Kind::kBytes},
        {"record", Kind::kText}}},
      {"checkpoints", {{"job", Kind::kText}, {"step", Kind::kInt}, {"record", Kind::kText}}},
      {"workers", {{"name", Kind::kText}, {"record", Kind::kText}}},
      {"queues", {{"name", Kind::kText}, {"record", Kind::kText}}},
      {"schedules", {{"name", Kind::kText}, {"spec", Kind::kBytes}, {"record", Kind::kText}}},
      {"sweeps", {{"name", Kind::kText}, {"definition", Kind::kBytes}, {"record", Kind::kText}}},
      {"events",
       {{"number", Kind::kInt},
        {"time_us", Kind::kInt},
        {"job", Kind::kText},
        {"attempt", Kind::kInt},
        {"type", Kind::kText},
        {"from_state", Kind::kText},
        {"to_state", Kind::kText},
        {"reason", Kind::kText},
        {"message", Kind::kText}}},
      {"tokens", {{"name", Kind::kText}, {"digest", Kind::kText}, {"record", Kind::kText}}},
      {"audit",
       {{"number", Kind::kInt},
        {"time_us", Kind::kInt},
        {"principal", Kind::kText},
        {"method", Kind::kText},
        {"resource", Kind::kText},
        {"request_id", Kind::kText},
        {"code", Kind::kText},
        {"reason", Kind::kText},
        {"peer", Kind::kText}}},
      {"requests", {{"id", Kind::kText}, {"job", Kind::kText}, {"time_us", Kind::kInt}}, 1},
      {"counters", {{"name", Kind::kText}, {"value", Kind::kInt}}}};
  return tables;
}

std::string ColumnsOf(const Table& table) {
  return absl::StrJoin(table.columns, ", ", [](std::string* out, const auto& column) {
    absl::StrAppend(out, column.first);
  });
}

using RowSink = std::function<absl::Status(const Table& table, std::vector<SqlValue> row)>;
using Source = std::function<absl::Status(const RowSink& sink)>;

absl::Status ReadRows(SqlDatabase& from, const RowSink& sink) {
  for (const Table& table : Tables()) {
    const std::string doing = absl::StrCat("reading ", table.name);
    SEER_RETURN_IF_ERROR(from.Run(doing.c_str(),
                                  absl::StrCat("SELECT ", ColumnsOf(table), " FROM ", table.name),
                                  {}, [&](const SqlRow& row) {
                                    std::vector<SqlValue> values;
                                    for (const auto& [name, kind] : table.columns) {
                                      const int column = static_cast<int>(values.size());
                                      if (kind == Kind::kInt) {
                                        values.emplace_back(row.Int(column));
                                      } else if (kind == Kind::kText) {
                                        values.emplace_back(row.Text(column));
                                      } else {
                                        values.emplace_back(SqlBytes{row.Text(column)});
                                      }
                                    }
                                    return sink(table, std::move(values));
                                  }));
  }
  return absl::OkStatus();
}

absl::StatusOr<RowCounts> CountRows(SqlDatabase& database) {
  RowCounts counts;
  for (const Table& table : Tables()) {
    SEER_RETURN_IF_ERROR(database.Run("counting rows",
                                      absl::StrCat("SELECT COUNT(*) FROM ", table.name), {},
                                      [&](const SqlRow& row) {
                                        counts[table.name] = row.Int(0);
                                        return absl::OkStatus();
                                      }));
  }
  return counts;
}

// Many rows a statement.
class RowInserter {
 public:
  explicit RowInserter(SqlDatabase& to) : to_(to) {}
  absl::Status Add(const Table& table, std::vector<SqlValue> row) {
    if (table_ != &table || rows_ == kRows) SEER_RETURN_IF_ERROR(Flush());
    table_ = &table;
    ++rows_;
    ++counts_[table.name];
    std::move(row.begin(), row.end(), std::back_inserter(values_));
    return absl::OkStatus();
  }
  absl::Status Flush() {
    if (rows_ == 0) return absl::OkStatus();
    std::vector<std::string> rows;
    size_t number = 0;
    while (rows.size() < rows_) {
      std::vector<std::string> parameters;
      for (size_t j = 0; j < table_->columns.size(); ++j)
        parameters.push_back(absl::StrCat("$", ++number));
      rows.push_back(absl::StrCat("(", absl::StrJoin(parameters, ", "), ")"));
    }
    rows_ = 0;
    return to_.Run("writing rows",
                   absl::StrCat("INSERT INTO ", table_->name, " (", ColumnsOf(*table_), ") VALUES ",
                                absl::StrJoin(rows, ", ")),
                   std::exchange(values_, {}));
  }
  const RowCounts& counts() const { return counts_; }

 private:
  static constexpr size_t kRows = 100;
  SqlDatabase& to_;
  const Table* table_ = nullptr;
  size_t rows_ = 0;
  std::vector<SqlValue> values_;
  RowCounts counts_;
};

PostgresOptions Patient() {
  PostgresOptions options;
  options.limit = absl::Minutes(5);
  return options;
}

// That the schema is there and known.
absl::Status CheckSource(SqlDatabase& from) {
  SEER_RETURN_IF_ERROR(CheckSchema(from));
  SEER_ASSIGN_OR_RETURN(const int64_t version, from.SchemaVersion());
  if (version > 0) return absl::OkStatus();
  return Error(absl::StatusCode::kNotFound, reason::kDatabaseNotFound,
               absl::StrCat("no coordinator has used the database ", from.name()))
      .Field("database")
      .Hint("name the one that the coordinator has as --database");
}

absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenToRead(const std::string& database) {
  SEER_RETURN_IF_ERROR(DatabaseName(database).status());
  return IsPostgres(database) ? OpenPostgres(database, Patient()) : OpenSqliteToRead(database);
}

absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenAlone(const std::string& database) {
  SEER_RETURN_IF_ERROR(DatabaseName(database).status());
  return IsPostgres(database) ? OpenPostgres(database, Patient()) : OpenSqlite(database);
}

// Within a transaction of PostgreSQL; a SQLite file is locked as long as it is open.
absl::Status CheckAlone(const std::string& url, SqlDatabase& database) {
  return IsPostgres(url) ? CheckNobodyLeads(database) : absl::OkStatus();
}

// Fills an empty database out of `source` in one transaction.
absl::StatusOr<RowCounts> Fill(const std::string& url, const Source& source) {
  SEER_ASSIGN_OR_RETURN(const auto to, OpenAlone(url));
  if (IsPostgres(url)) SEER_RETURN_IF_ERROR(PrepareLeaderLease(*to));
  const auto alone = [&] { return CheckAlone(url, *to); };
  SEER_RETURN_IF_ERROR(MigrateSchema(*to, alone));
  RowInserter inserter(*to);
  SEER_RETURN_IF_ERROR(to->Transact([&]() -> absl::Status {
    SEER_RETURN_IF_ERROR(alone());
    SEER_ASSIGN_OR_RETURN(const RowCounts before, CountRows(*to));
    for (const auto& [table, rows] : before) {
      if (rows == 0) continue;
      return Error(absl::StatusCode::kFailedPrecondition, reason::kDatabaseNotEmpty,
                   absl::StrCat("the database ", to->name(), " is not empty: ", rows, " rows in ",
                                table))
          .Field("database")
          .Hint("name a new one; nothing is ever overwritten");
    }
    SEER_RETURN_IF_ERROR(source([&inserter](const Table& table, std::vector<SqlValue> row) {
      return inserter.Add(table, std::move(row));
    }));
    SEER_RETURN_IF_ERROR(inserter.Flush());
    SEER_ASSIGN_OR_RETURN(const RowCounts after, CountRows(*to));
    for (const auto& [table, rows] : after) {
      const auto it = inserter.counts().find(table);
      if (rows == (it == inserter.counts().end() ? 0 : it->second)) continue;
      return Error(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt,
                   absl::StrCat("the database ", to->name(), " has ", rows, " rows in ", table,
                                ", not as many as were written"))
          .Field("database");
    }
    return LoadState(*to).status();  // every record can be read
  }));
  return CountRows(*to);
}

}  // namespace

absl::StatusOr<RowCounts> MigrateDatabase(const std::string& from, const std::string& to) {
  if (!IsPostgres(from) && !std::filesystem::exists(from))
    SEER_RETURN_IF_ERROR(OpenToRead(from).status());
  SEER_ASSIGN_OR_RETURN(const auto source, OpenAlone(from));
  SEER_RETURN_IF_ERROR(CheckSource(*source));
  return Fill(to, [&](const RowSink& sink) {
    return source->Transact([&]() -> absl::Status {
      SEER_RETURN_IF_ERROR(CheckAlone(from, *source));
      return ReadRows(*source, sink);
    });
  });
}

absl::StatusOr<RowCounts> BackUpDatabase(const std::string& database, const std::string& file) {
  SEER_ASSIGN_OR_RETURN(const auto from, OpenToRead(database));
  SEER_RETURN_IF_ERROR(CheckSource(*from));
  BackupWriter writer(file);
  SEER_RETURN_IF_ERROR(writer.Open(kSchemaVersion, from->name()));
  RowCounts counts;
  for (const Table& table : Tables()) counts[table.name] = 0;
  SEER_RETURN_IF_ERROR(from->BeginSnapshot());
  const absl::Status read = ReadRows(*from, [&](const Table& table, std::vector<SqlValue> row) {
    ++counts[table.name];
    return writer.Add(table.name, row);
  });
  from->Rollback();
  SEER_RETURN_IF_ERROR(read);
  SEER_RETURN_IF_ERROR(writer.Finish());
  return counts;
}

absl::StatusOr<RowCounts> RestoreDatabase(const std::string& file, const std::string& database) {
  const auto table_of = [&file](const std::string& name,
                                const std::vector<SqlValue>& row) -> absl::StatusOr<const Table*> {
    for (const Table& table : Tables()) {
      const size_t columns = table.columns.size();
      if (table.name == name && (row.size() == columns || row.size() + table.later == columns))
        return &table;
    }
    return Error(absl::StatusCode::kDataLoss, reason::kBackupCorrupt,
                 absl::StrCat(file, " has a row of ", row.size(), " columns for the table ", name))
        .Field("file")
        .Hint("take another backup; nothing was restored");
  };
  // Once to see that it is whole.
  SEER_ASSIGN_OR_RETURN(const int64_t schema,
                        ReadBackup(file, [&](const std::string& name, std::vector<SqlValue> row) {
                          return table_of(name, row).status();
                        }));
  if (schema > kSchemaVersion) {
    return Error(
               absl::StatusCode::kFailedPrecondition, reason::kDatabaseTooNew,
               absl::StrCat(file, " has schema ", schema, ", this version knows ", kSchemaVersion))
        .Field("file")
        .Hint("restore it with the newer version's seer-coordinator");
  }
  return Fill(database, [&](const RowSink& sink) {
    return ReadBackup(file,
                      [&](const std::string& name, std::vector<SqlValue> row) -> absl::Status {
                        SEER_ASSIGN_OR_RETURN(const Table* table, table_of(name, row));
                        row.resize(table->columns.size(), int64_t{0});
                        return sink(*table, std::move(row));
                      })
        .status();
  });
}

}  // namespace seer::coordinator
