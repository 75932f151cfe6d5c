#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/status_macros.h"
#include "coordinator/core/job_states.h"
#include "coordinator/store/record_json.h"
#include "coordinator/store/store.h"
#include "store_migrations.h"

namespace seer::coordinator {
namespace {

constexpr int64_t kSchemaVersion = std::size(kMigrations);

class Statement {
 public:
  Statement(sqlite3* db, const char* sql) { sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr); }
  Statement(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }
  Statement& Text(const std::string& value) {
    sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& Blob(const std::string& value) {
    sqlite3_bind_blob(statement_, ++bound_, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& Int(int64_t value) {
    sqlite3_bind_int64(statement_, ++bound_, value);
    return *this;
  }
  int Step() { return statement_ == nullptr ? SQLITE_ERROR : sqlite3_step(statement_); }
  std::string TextAt(int column) const {
    const void* data = sqlite3_column_blob(statement_, column);
    return data == nullptr
               ? ""
               : std::string(static_cast<const char*>(data),
                             static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
  }
  int64_t IntAt(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

class SqliteStore final : public Store {
 public:
  SqliteStore(std::string path, int lock_fd, sqlite3* db)
      : path_(std::move(path)), lock_fd_(lock_fd), db_(db) {}
  ~SqliteStore() override {
    sqlite3_close(db_);
    if (lock_fd_ >= 0) ::close(lock_fd_);
  }

  absl::Status Prepare() {
    sqlite3_busy_timeout(db_, 5000);  // a person's sqlite3 shell may read meanwhile
    for (const char* sql : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"})
      SEER_RETURN_IF_ERROR(Run(sql));
    int64_t version = 0;
    {
      Statement statement(db_, "PRAGMA user_version");
      if (statement.Step() != SQLITE_ROW) return Failed("reading the schema's version");
      version = statement.IntAt(0);
    }
    if (version > kSchemaVersion) {
      return Error(absl::StatusCode::kFailedPrecondition, reason::kDatabaseTooNew,
                   absl::StrCat(path_, " has schema ", version, ", this version knows ",
                                kSchemaVersion))
          .Hint("run the coordinator's newer version, or restore a backup from before the upgrade");
    }
    for (; version < kSchemaVersion; ++version) {
      SEER_RETURN_IF_ERROR(Run(absl::StrCat("BEGIN IMMEDIATE;", kMigrations[version],
                                            ";PRAGMA user_version = ", version + 1, ";COMMIT")
                                   .c_str()));
    }
    Statement check(db_, "PRAGMA quick_check(1)");
    if (check.Step() != SQLITE_ROW) return Failed("checking it");
    if (check.TextAt(0) != "ok") return Corrupt(check.TextAt(0));
    return absl::OkStatus();
  }

  absl::StatusOr<StoredState> Load() override {
    StoredState state;
    int got;
    Statement jobs(db_, "SELECT record, spec FROM jobs");
    while ((got = jobs.Step()) == SQLITE_ROW) {
      SEER_ASSIGN_OR_RETURN(Job job, JobFromJson(jobs.TextAt(0)));
      job.spec = jobs.TextAt(1);
      state.jobs.push_back(std::move(job));
    }
    if (got != SQLITE_DONE) return Failed("reading jobs");
    Statement checkpoints(db_, "SELECT record FROM checkpoints");
    while ((got = checkpoints.Step()) == SQLITE_ROW) {
      SEER_ASSIGN_OR_RETURN(Checkpoint checkpoint, CheckpointFromJson(checkpoints.TextAt(0)));
      state.checkpoints.push_back(std::move(checkpoint));
    }
    if (got != SQLITE_DONE) return Failed("reading checkpoints");
    Statement workers(db_, "SELECT record FROM workers");
    while ((got = workers.Step()) == SQLITE_ROW) {
      SEER_ASSIGN_OR_RETURN(Worker worker, WorkerFromJson(workers.TextAt(0)));
      state.workers.push_back(std::move(worker));
    }
    if (got != SQLITE_DONE) return Failed("reading workers");
    Statement requests(db_, "SELECT id, job FROM requests");
    while ((got = requests.Step()) == SQLITE_ROW)
      state.requests[requests.TextAt(0)] = requests.TextAt(1);
    if (got != SQLITE_DONE) return Failed("reading requests");
    Statement counters(db_,
                       "SELECT (SELECT COALESCE(MAX(number), 0) FROM events), (SELECT "
                       "COALESCE(MAX(value), 0) FROM "
                       "counters WHERE name = 'attempt')");
    if (counters.Step() != SQLITE_ROW) return Failed("reading counters");
    state.last_event = counters.IntAt(0);
    state.last_attempt = counters.IntAt(1);
    return state;
  }

  absl::Status Apply(const Changes& changes, const Core& core) override {
    SEER_RETURN_IF_ERROR(SEER_FAILPOINT_STATUS("coordinator.before_commit"));
    SEER_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
    const absl::Status written = Write(changes, core);
    if (!written.ok()) {
      Run("ROLLBACK").IgnoreError();
      return written;
    }
    if (const absl::Status committed = Run("COMMIT"); !committed.ok()) {
      Run("ROLLBACK").IgnoreError();
      return committed;
    }
    SEER_FAILPOINT("coordinator.after_commit");
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Event>> Events(const std::string& job, int64_t after,
                                            int limit) override {
    Statement s(db_,
                "SELECT number, time_us, job, attempt, type, from_state, to_state, reason, message "
                "FROM events "
                "WHERE number > ?1 AND (?2 = '' OR job = ?2) ORDER BY number LIMIT ?3");
    s.Int(after).Text(job).Int(limit);
    std::vector<Event> events;
    int got;
    while ((got = s.Step()) == SQLITE_ROW) {
      events.push_back({s.IntAt(0), absl::FromUnixMicros(s.IntAt(1)), s.TextAt(2),
                        static_cast<int>(s.IntAt(3)), s.TextAt(4), s.TextAt(5), s.TextAt(6),
                        s.TextAt(7), s.TextAt(8)});
    }
    if (got != SQLITE_DONE) return Failed("reading events");
    return events;
  }

 private:
  absl::Status Write(const Changes& changes, const Core& core) {
    for (const std::string& id : changes.jobs) {
      const Job& job = core.jobs().at(id);
      Statement s(db_,
                  "INSERT INTO jobs (id, state, spec, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) "
                  "DO UPDATE SET state "
                  "= excluded.state, record = excluded.record");
      if (s.Text(id).Text(StateName(job.state)).Blob(job.spec).Text(ToJson(job)).Step() !=
          SQLITE_DONE)
        return Failed("writing a job");
    }
    for (const auto& key : changes.checkpoints) {
      const auto it = core.checkpoints().find(key);
      if (it == core.checkpoints().end()) continue;
      Statement s(db_, "INSERT OR REPLACE INTO checkpoints (job, step, record) VALUES (?, ?, ?)");
      if (s.Text(key.first).Int(key.second).Text(ToJson(it->second)).Step() != SQLITE_DONE)
        return Failed("writing a checkpoint");
    }
    for (const auto& [job, step] : changes.removed_checkpoints) {
      Statement s(db_, "DELETE FROM checkpoints WHERE job = ? AND step = ?");
      if (s.Text(job).Int(step).Step() != SQLITE_DONE) return Failed("removing a checkpoint");
    }
    for (const std::string& name : changes.workers) {
      Statement s(db_, "INSERT OR REPLACE INTO workers (name, record) VALUES (?, ?)");
      if (s.Text(name).Text(ToJson(core.workers().at(name))).Step() != SQLITE_DONE)
        return Failed("writing a worker");
    }
    for (const std::string& name : changes.removed_workers) {
      Statement s(db_, "DELETE FROM workers WHERE name = ?");
      if (s.Text(name).Step() != SQLITE_DONE) return Failed("removing a worker");
    }
    for (const Event& e : changes.events) {
      Statement s(db_,
                  "INSERT INTO events (number, time_us, job, attempt, type, from_state, to_state, "
                  "reason, message) "
                  "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
      s.Int(e.number)
          .Int(absl::ToUnixMicros(e.created))
          .Text(e.job)
          .Int(e.attempt)
          .Text(e.type)
          .Text(e.from)
          .Text(e.to)
          .Text(e.reason)
          .Text(e.message);
      if (s.Step() != SQLITE_DONE) return Failed("writing an event");
    }
    for (const auto& [id, job] : changes.requests) {
      Statement s(db_, "INSERT INTO requests (id, job) VALUES (?, ?)");
      if (s.Text(id).Text(job).Step() != SQLITE_DONE) return Failed("writing a request");
    }
    Statement s(db_, "INSERT OR REPLACE INTO counters (name, value) VALUES ('attempt', ?)");
    if (s.Int(core.last_attempt()).Step() != SQLITE_DONE) return Failed("writing a counter");
    return absl::OkStatus();
  }

  absl::Status Run(const char* sql) {
    return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus()
                                                                          : Failed("the database");
  }
  absl::Status Corrupt(const std::string& why) const {
    return Error(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt,
                 absl::StrCat(path_, " is not a sound database: ", why))
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
  sqlite3* const db_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path) {
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
  if (::flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_fd);
    return Error(absl::StatusCode::kFailedPrecondition, reason::kDatabaseLocked,
                 absl::StrCat("another coordinator uses the database ", path))
        .Field("database")
        .Hint("stop that coordinator first, or give this one a --database of its own");
  }
  sqlite3* db = nullptr;
  const int opened = sqlite3_open_v2(
      path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  auto store = std::make_unique<SqliteStore>(path, lock_fd, db);
  if (opened != SQLITE_OK) {
    return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
                 absl::StrCat("cannot open ", path, ": ", sqlite3_errmsg(db)))
        .Field("database");
  }
  SEER_RETURN_IF_ERROR(store->Prepare());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace seer::coordinator
