#include "coordinator/store/sqlite_database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "store_migrations.h"

namespace seer::coordinator {
namespace {

class Statement final : public SqlRow {
 public:
  Statement(sqlite3* db, const std::string& sql) {
    sqlite3_prepare_v2(db, sql.c_str(), static_cast<int>(sql.size()), &statement_, nullptr);
  }
  Statement(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }
  // True also if the statement cannot be run at all.
  bool Takes(size_t values) const {
    return statement_ == nullptr ||
           static_cast<size_t>(sqlite3_bind_parameter_count(statement_)) == values;
  }
  void Bind(int number, const SqlValue& value) {
    if (const auto* integer = std::get_if<int64_t>(&value)) {
      sqlite3_bind_int64(statement_, number, *integer);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      sqlite3_bind_text(statement_, number, text->data(), static_cast<int>(text->size()),
                        SQLITE_STATIC);
    } else {
      const std::string& bytes = std::get<SqlBytes>(value).bytes;
      sqlite3_bind_blob(statement_, number, bytes.data(), static_cast<int>(bytes.size()),
                        SQLITE_STATIC);
    }
  }
  int Step() { return statement_ == nullptr ? SQLITE_ERROR : sqlite3_step(statement_); }
  int64_t Int(int column) const override { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) const override {
    const void* data = sqlite3_column_blob(statement_, column);
    return data == nullptr
               ? ""
               : std::string(static_cast<const char*>(data),
                             static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

class SqliteDatabase final : public SqlDatabase {
 public:
  // `lock_fd`: closed at the end; -1: none.
  SqliteDatabase(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  ~SqliteDatabase() override {
    sqlite3_close(db_);
    if (lock_fd_ >= 0) ::close(lock_fd_);
  }

  absl::Status Open(int flags) {
    if (sqlite3_open_v2(path_.c_str(), &db_, flags | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK) {
      return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                   absl::StrCat("cannot open ", path_, ": ", sqlite3_errmsg(db_)))
          .Field("database");
    }
    sqlite3_busy_timeout(db_, 5000);  // a person's sqlite3 shell may read meanwhile
    return absl::OkStatus();
  }
  absl::Status MakeDurable() {
    return RunScript("preparing it", "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  }
  absl::Status Check() {
    return Run("checking it", "PRAGMA quick_check(1)", {}, [this](const SqlRow& row) {
      return row.Text(0) == "ok" ? absl::OkStatus() : Corrupt(row.Text(0));
    });
  }

  absl::Status Run(const char* doing, const std::string& sql, const std::vector<SqlValue>& values,
                   const SqlRowReader& reader) override {
    Statement statement(db_, sql);
    SEER_CHECK(statement.Takes(values.size())) << sql;
    for (size_t i = 0; i < values.size(); ++i) statement.Bind(static_cast<int>(i) + 1, values[i]);
    int got;
    while ((got = statement.Step()) == SQLITE_ROW) {
      if (reader) SEER_RETURN_IF_ERROR(reader(statement));
    }
    return got == SQLITE_DONE ? absl::OkStatus() : Failed(doing);
  }
  absl::Status RunScript(const char* doing, const std::string& sql) override {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus()
                                                                                  : Failed(doing);
  }
  absl::Status BeginSnapshot() override { return RunScript("beginning to read", "BEGIN"); }
  void Rollback() override { RunScript("rolling back", "ROLLBACK").IgnoreError(); }

  absl::StatusOr<int64_t> SchemaVersion() override {
    int64_t version = 0;
    SEER_RETURN_IF_ERROR(Run("reading the schema's version", "PRAGMA user_version", {},
                             [&version](const SqlRow& row) {
                               version = row.Int(0);
                               return absl::OkStatus();
                             }));
    return version;
  }
  absl::Status SetSchemaVersion(int64_t version) override {
    return RunScript("writing the schema's version",
                     absl::StrCat("PRAGMA user_version = ", version));
  }
  const char* Migration(int64_t version) const override {
    return kSqliteMigrations[static_cast<size_t>(version)];
  }
  const std::string& name() const override { return path_; }

 protected:
  absl::Status Begin() override { return RunScript("beginning to write", "BEGIN IMMEDIATE"); }
  absl::Status Commit() override { return RunScript("committing", "COMMIT"); }

 private:
  absl::Status Corrupt(const std::string& why) const {
    return Error(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt,
                 absl::StrCat(path_, " is not a sound database: ", why))
        .Field("database")
        .Hint("restore it from a backup, or move it away to start with an empty one");
  }
  absl::Status Failed(const char* doing) const {
    const int code = sqlite3_errcode(db_);
    const std::string text = absl::StrCat(doing, ": ", sqlite3_errmsg(db_), " (", path_, ")");
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) return Corrupt(sqlite3_errmsg(db_));
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
      return Error(absl::StatusCode::kUnavailable, reason::kDatabaseLocked, text)
          .Hint("another program holds the database open for writing: close it");
    }
    if (code == SQLITE_FULL)
      return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull, text)
          .Hint("free space on that file system");
    return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed, text);
  }

  const std::string path_;
  const int lock_fd_;
  sqlite3* db_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenSqlite(const std::string& path) {
  std::error_code error;
  const auto folder = std::filesystem::absolute(path).parent_path();
  std::filesystem::create_directories(folder, error);
  // SQLite alone would let a second coordinator in;
  // the lock is let go by the kernel however this process ends.
  const std::string lock_path = path + ".lock";
  const int lock_fd = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_fd < 0) {
    return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                 absl::StrCat("cannot write ", lock_path, ": ", strerror(errno)))
        .Field("database")
        .Hint("choose a --database in a folder that can be written");
  }
  auto database = std::make_unique<SqliteDatabase>(path, lock_fd);
  if (::flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kDatabaseLocked,
                 absl::StrCat("another coordinator uses the database ", path))
        .Field("database")
        .Hint("stop that coordinator first, or give this one a --database of its own");
  }
  SEER_RETURN_IF_ERROR(database->Open(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  SEER_RETURN_IF_ERROR(database->MakeDurable());
  SEER_RETURN_IF_ERROR(database->Check());
  return std::unique_ptr<SqlDatabase>(std::move(database));
}

absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenSqliteToRead(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    return Error(absl::StatusCode::kNotFound, reason::kDatabaseNotFound,
                 absl::StrCat("there is no database ", path))
        .Field("database")
        .Hint("name the file that the coordinator has as --database");
  }
  auto database = std::make_unique<SqliteDatabase>(path, /*lock_fd=*/-1);
  // Read and written: a file that a coordinator left behind may have a log to be gone through.
  SEER_RETURN_IF_ERROR(database->Open(SQLITE_OPEN_READWRITE));
  SEER_RETURN_IF_ERROR(database->Check());
  return std::unique_ptr<SqlDatabase>(std::move(database));
}

}  // namespace seer::coordinator
