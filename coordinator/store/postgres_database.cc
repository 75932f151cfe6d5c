#include "coordinator/store/postgres_database.h"

#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/utf8.h"
#include "coordinator/store/database_url.h"
#include "store_migrations.h"

namespace seer::coordinator {
namespace {

// Object ids of types, as pg_type.dat has them.
constexpr Oid kByteaOid = 17, kInt8Oid = 20, kTextOid = 25;
constexpr int kTextFormat = 0, kBinaryFormat = 1;

// Row 0 of a result in binary format.
class ResultRow final : public SqlRow {
 public:
  explicit ResultRow(const PGresult* result) : result_(result) {}
  int64_t Int(int column) const override {
    const char* const value = PQgetvalue(result_, 0, column);
    if (PQgetlength(result_, 0, column) == 4) {
      uint32_t big;
      std::memcpy(&big, value, sizeof(big));
      return static_cast<int32_t>(be32toh(big));
    }
    uint64_t big = 0;
    if (PQgetlength(result_, 0, column) == 8) std::memcpy(&big, value, sizeof(big));
    return static_cast<int64_t>(be64toh(big));
  }
  std::string Text(int column) const override {
    return {PQgetvalue(result_, 0, column), static_cast<size_t>(PQgetlength(result_, 0, column))};
  }

 private:
  const PGresult* result_;
};

// The parameters of a statement, as libpq takes them.
class Parameters {
 public:
  explicit Parameters(const std::vector<SqlValue>& values) {
    for (const SqlValue& value : values) {
      if (const auto* integer = std::get_if<int64_t>(&value)) {
        Add(kInt8Oid, kTextFormat, absl::StrCat(*integer));
      } else if (const auto* text = std::get_if<std::string>(&value)) {
        // It refuses text with zero bytes or that is not UTF-8, and a commit would never succeed.
        const absl::string_view zero("\0", 1);
        Add(kTextOid, kBinaryFormat,
            absl::StrReplaceAll(ToValidUtf8(*text), {{zero, "\xef\xbf\xbd"}}));
      } else {
        Add(kByteaOid, kBinaryFormat, std::get<SqlBytes>(value).bytes);
      }
    }
    for (const std::string& text : texts_) {
      pointers_.push_back(text.c_str());
      lengths_.push_back(static_cast<int>(text.size()));
    }
  }
  bool Send(PGconn* connection, const std::string& sql) const {
    return PQsendQueryParams(connection, sql.c_str(), static_cast<int>(texts_.size()),
                             types_.data(), pointers_.data(), lengths_.data(), formats_.data(),
                             kBinaryFormat) == 1;
  }

 private:
  void Add(Oid type, int format, std::string text) {
    types_.push_back(type);
    formats_.push_back(format);
    texts_.push_back(std::move(text));
  }
  std::vector<std::string> texts_;
  std::vector<Oid> types_;
  std::vector<const char*> pointers_;
  std::vector<int> lengths_, formats_;
};

// "FATAL:  28P01: password authentication failed ...\nLOCATION:  ..." -> the five characters.
std::string StateIn(const std::string& message) {
  for (size_t at = message.find(":  "); at != std::string::npos; at = message.find(":  ", at + 1)) {
    if (at + 8 >= message.size() || message[at + 8] != ':') continue;
    const std::string state = message.substr(at + 3, 5);
    if (std::all_of(state.begin(), state.end(),
                    [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }))
      return state;
  }
  return "";
}

std::string OneLine(const std::string& message) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(message, '\n', absl::SkipWhitespace()))
    if (!absl::StrContains(line, "LOCATION:")) lines.emplace_back(absl::StripAsciiWhitespace(line));
  return absl::StrJoin(lines, "; ");
}

class PostgresDatabase final : public SqlDatabase {
 public:
  PostgresDatabase(std::string url, std::string name, const PostgresOptions& options)
      : url_(std::move(url)), name_(std::move(name)), options_(options) {}
  ~PostgresDatabase() override { Disconnect(); }

  absl::Status Connect() {
    Disconnect();
    in_transaction_ = false;
    std::map<std::string, std::string> settings = {
        {"application_name", "seer-coordinator"},
        {"client_encoding", "UTF8"},
        {"target_session_attrs", "read-write"},
        {"keepalives_idle", "5"},
        {"keepalives_interval", "2"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", absl::StrCat(absl::ToInt64Milliseconds(options_.limit))}};
    char* message = nullptr;
    PQconninfoOption* const parts = PQconninfoParse(url_.c_str(), &message);
    int64_t hosts = 1;
    for (const PQconninfoOption* part = parts; part != nullptr && part->keyword != nullptr;
         ++part) {
      if (part->val == nullptr) continue;
      settings[part->keyword] = part->val;
      if (std::string(part->keyword) == "host")
        hosts += std::count(part->val, part->val + std::strlen(part->val), ',');
    }
    PQconninfoFree(parts);
    PQfreemem(message);
    std::vector<const char*> keywords, values;
    for (const auto& [keyword, value] : settings) {
      keywords.push_back(keyword.c_str());
      values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    connection_ = PQconnectStartParams(keywords.data(), values.data(), 0);
    if (connection_ == nullptr) return absl::ResourceExhaustedError("no memory to connect");
    PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // with SQLSTATE
    const absl::Duration deadline = Clock::Real().Steady() + options_.limit * hosts;
    for (PostgresPollingStatusType status = PGRES_POLLING_WRITING; status != PGRES_POLLING_OK;
         status = PQconnectPoll(connection_)) {
      if (PQstatus(connection_) == CONNECTION_BAD || status == PGRES_POLLING_FAILED)
        return CannotConnect(PQerrorMessage(connection_));
      if (!Wait(status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
        return CannotConnect(
            absl::StrCat("no answer in ", absl::FormatDuration(options_.limit * hosts)));
    }
    PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
    PQsetNoticeProcessor(
        connection_, [](void*, const char*) {}, nullptr);
    const char* const encoding = PQparameterStatus(connection_, "server_encoding");
    if (encoding == nullptr || std::string(encoding) != "UTF8") {
      const std::string found = encoding == nullptr ? "unknown" : encoding;
      Disconnect();
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("the database ", name_, " is in the encoding ", found))
          .Field("database")
          .Hint("make one in UTF-8: createdb --encoding=UTF8 --template=template0 NAME");
    }
    // The server, too, gives up: what waits for a lock is gone when it is tried again.
    return Once(
        "setting up the connection",
        [&] {
          return PQsendQuery(
                     connection_,
                     absl::StrCat("SET lock_timeout = ", absl::ToInt64Milliseconds(options_.limit),
                                  "; SET idle_in_transaction_session_timeout = ",
                                  absl::ToInt64Milliseconds(options_.transaction_limit))
                         .c_str()) == 1;
        },
        nullptr);
  }

  absl::Status Run(const char* doing, const std::string& sql, const std::vector<SqlValue>& values,
                   const SqlRowReader& reader) override {
    const Parameters parameters(values);
    return Reliably(
        doing, [&] { return parameters.Send(connection_, sql); }, reader);
  }
  // Without waiting for one answer before the next statement is sent.
  absl::Status RunAll(const std::vector<SqlStatement>& statements) override {
    // So few that neither side's buffers fill while the other does not read.
    constexpr size_t kAtOnce = 256;
    for (size_t i = 0; i < statements.size(); i += kAtOnce)
      SEER_RETURN_IF_ERROR(
          RunPipeline({statements.data() + i, std::min(kAtOnce, statements.size() - i)}));
    return absl::OkStatus();
  }
  absl::Status RunScript(const char* doing, const std::string& sql) override {
    return Reliably(
        doing, [&] { return PQsendQuery(connection_, sql.c_str()) == 1; }, nullptr);
  }
  absl::Status BeginSnapshot() override {
    return BeginAs("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  }
  void Rollback() override {
    if (!std::exchange(in_transaction_, false) || connection_ == nullptr) return;
    if (!Once(
             "rolling back", [&] { return PQsendQuery(connection_, "ROLLBACK") == 1; }, nullptr)
             .ok())
      Disconnect();
  }

  absl::StatusOr<int64_t> SchemaVersion() override {
    int64_t version = 0;
    const auto read = [&version](const SqlRow& row) {
      version = row.Int(0);
      return absl::OkStatus();
    };
    constexpr char kDoing[] = "reading the schema's version";
    SEER_RETURN_IF_ERROR(Run(kDoing, "SELECT COUNT(to_regclass('schema_version'))", {}, read));
    if (version == 0) return 0;
    SEER_RETURN_IF_ERROR(
        Run(kDoing, "SELECT COALESCE(MAX(version), 0) FROM schema_version", {}, read));
    return version;
  }
  absl::Status SetSchemaVersion(int64_t version) override {
    return RunScript(
        "writing the schema's version",
        absl::StrCat("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL);"
                     "DELETE FROM schema_version;"
                     "INSERT INTO schema_version VALUES (",
                     version, ")"));
  }
  const char* Migration(int64_t version) const override {
    return kPostgresMigrations[static_cast<size_t>(version)];
  }
  const std::string& name() const override { return name_; }

 protected:
  absl::Status Begin() override { return BeginAs("BEGIN"); }
  absl::Status Commit() override {
    SEER_RETURN_IF_ERROR(RunScript("committing", "COMMIT"));
    in_transaction_ = false;
    return absl::OkStatus();
  }

 private:
  absl::Status BeginAs(const char* sql) {
    SEER_RETURN_IF_ERROR(RunScript("beginning a transaction", sql));
    in_transaction_ = true;
    return absl::OkStatus();
  }

  void Disconnect() { PQfinish(std::exchange(connection_, nullptr)); }

  // False: `deadline` (steady time) has passed.
  bool Wait(short events, absl::Duration deadline) {
    while (true) {
      const absl::Duration left = deadline - Clock::Real().Steady();
      if (left <= absl::ZeroDuration()) return false;
      pollfd wanted{PQsocket(connection_), events, 0};
      const int got = ::poll(&wanted, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
      if (got > 0 || (got < 0 && errno != EINTR)) return true;  // what is wrong, the next call says
    }
  }

  // Outside of a transaction a connection that has broken since it was last used is made again.
  absl::Status Reliably(const char* doing, const std::function<bool()>& send,
                        const SqlRowReader& reader) {
    const bool fresh = connection_ == nullptr;
    if (fresh) {
      if (in_transaction_) return Lost(doing, "the connection broke within the transaction");
      SEER_RETURN_IF_ERROR(Connect());
    }
    bool any_row = false;
    const SqlRowReader count = [&](const SqlRow& row) {
      any_row = true;
      return reader(row);
    };
    const absl::Status status = Once(doing, send, reader ? count : SqlRowReader());
    if (status.ok() || connection_ != nullptr || fresh || in_transaction_ || any_row ||
        !HasReason(status, reason::kDatabaseUnreachable))
      return status;
    LogWarn("database_connection_lost", {{"error", StatusText(status)}});
    SEER_RETURN_IF_ERROR(Connect());
    return Once(doing, send, reader);
  }

  absl::Status RunPipeline(absl::Span<const SqlStatement> statements) {
    const char* const first = statements.front().doing;
    if (connection_ == nullptr) return Lost(first, "the connection broke within the transaction");
    if (PQenterPipelineMode(connection_) == 0) return Broken(first, PQerrorMessage(connection_));
    for (const SqlStatement& statement : statements) {
      if (!Parameters(statement.values).Send(connection_, statement.sql))
        return Broken(statement.doing, PQerrorMessage(connection_));
    }
    if (PQpipelineSync(connection_) == 0) return Broken(first, PQerrorMessage(connection_));
    absl::Status status;
    for (const SqlStatement& statement : statements) {
      absl::Status result = TakeResults(statement.doing, nullptr);
      if (connection_ == nullptr) return result;
      if (status.ok()) status = std::move(result);  // those after it are not run
    }
    // What ends the pipeline has a result of its own, and no end after it.
    SEER_RETURN_IF_ERROR(AwaitResult(first, Patience()));
    PQclear(PQgetResult(connection_));
    if (PQexitPipelineMode(connection_) == 0) return Broken(first, PQerrorMessage(connection_));
    return status;
  }

  // Closes the connection if it broke, or if the reader failed.
  absl::Status Once(const char* doing, const std::function<bool()>& send,
                    const SqlRowReader& reader) {
    if (!send()) return Broken(doing, PQerrorMessage(connection_));
    PQsetSingleRowMode(connection_);
    return TakeResults(doing, reader);
  }

  absl::Duration Patience() const { return Clock::Real().Steady() + kPatience * options_.limit; }

  // Until PQgetResult does not block, or `deadline` (steady time).
  absl::Status AwaitResult(const char* doing, absl::Duration deadline) {
    while (PQisBusy(connection_) == 1) {
      if (!Wait(POLLIN, deadline)) {
        return Broken(doing, absl::StrCat("no answer in ", absl::FormatDuration(options_.limit)));
      }
      if (PQconsumeInput(connection_) == 0) return Broken(doing, PQerrorMessage(connection_));
    }
    return absl::OkStatus();
  }

  // Of one statement or script.
  absl::Status TakeResults(const char* doing, const SqlRowReader& reader) {
    absl::Duration deadline = Patience();
    absl::Status status;
    while (true) {
      SEER_RETURN_IF_ERROR(AwaitResult(doing, deadline));
      const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(connection_), PQclear);
      if (!result) break;
      deadline = Patience();
      const ExecStatusType kind = PQresultStatus(result.get());
      if (kind == PGRES_SINGLE_TUPLE) {
        if (!reader) continue;
        if (absl::Status read = reader(ResultRow(result.get())); !read.ok()) {
          Disconnect();
          return read;
        }
      } else if (kind == PGRES_PIPELINE_ABORTED) {
        status = absl::AbortedError("one before it failed");
      } else if (kind != PGRES_TUPLES_OK && kind != PGRES_COMMAND_OK && status.ok()) {
        status = Failed(doing, result.get());
      }
    }
    if (PQstatus(connection_) != CONNECTION_OK) {
      return Broken(doing,
                    status.ok() ? PQerrorMessage(connection_) : std::string(status.message()));
    }
    return status;
  }

  absl::Status Broken(const char* doing, const std::string& why) {
    const absl::Status lost = Lost(doing, OneLine(why));
    Disconnect();
    return lost;
  }
  absl::Status Lost(const char* doing, const std::string& why) const {
    return Error(absl::StatusCode::kUnavailable, reason::kDatabaseUnreachable,
                 absl::StrCat(doing, ": the database ", name_, " does not answer: ", why))
        .Hint("it is tried again; see whether the server runs and can be reached");
  }
  absl::Status CannotConnect(const std::string& message) {
    const std::string state = StateIn(message);
    std::string text = OneLine(message);
    Disconnect();
    if (!state.empty()) text = absl::StrReplaceAll(text, {{absl::StrCat(" ", state, ":"), ""}});
    text = absl::StrCat("cannot connect to the database ", name_, ": ", text);
    if (state == "28P01" || state == "28000" || absl::StrContains(text, "no password supplied")) {
      return Error(absl::StatusCode::kUnauthenticated, reason::kDatabaseAccessDenied, text)
          .Field("database")
          .Hint(
              "check the user and the password (PGPASSWORD, ~/.pgpass or the URL), and that "
              "pg_hba.conf lets this machine in");
    }
    if (state == "3D000") {
      return Error(absl::StatusCode::kNotFound, reason::kDatabaseNotFound, text)
          .Field("database")
          .Hint("make it: createdb --encoding=UTF8 --template=template0 NAME");
    }
    if (state == "42501") return Denied(text);
    return Error(absl::StatusCode::kUnavailable, reason::kDatabaseUnreachable, text)
        .Field("database")
        .Hint(
            "check that the server runs, and host and port of --database "
            "postgresql://HOST:PORT/NAME");
  }
  static absl::Status Denied(const std::string& text) {
    return Error(absl::StatusCode::kPermissionDenied, reason::kDatabaseAccessDenied, text)
        .Field("database")
        .Hint("let the user own the database: ALTER DATABASE NAME OWNER TO USER");
  }
  absl::Status Failed(const char* doing, const PGresult* result) const {
    const char* const field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const std::string state = field == nullptr ? "" : field;
    const std::string text =
        absl::StrCat(doing, ": ", OneLine(PQresultErrorMessage(result)), " (", name_, ")");
    if (state == "53100") {
      return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull, text)
          .Hint("free space on the database server's file system");
    }
    if (state == "42501") return Denied(text);
    if (state == "55P03" || state == "40001" || state == "40P01") {
      return Error(absl::StatusCode::kUnavailable, reason::kDatabaseLocked, text)
          .Hint("another session holds a lock; pg_stat_activity shows it");
    }
    if (state == "XX001" || state == "XX002") {
      return Error(absl::StatusCode::kDataLoss, reason::kDatabaseCorrupt, text)
          .Hint("restore the database from a backup");
    }
    if (absl::StartsWith(state, "08") || absl::StartsWith(state, "57P") || state == "25P03" ||
        state == "25006")
      return Lost(doing, text);
    return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed, text);
  }

  // The server's own limit comes first, and says more.
  static constexpr double kPatience = 1.2;

  const std::string url_, name_;
  const PostgresOptions options_;
  PGconn* connection_ = nullptr;
  bool in_transaction_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenPostgres(const std::string& url,
                                                          const PostgresOptions& options) {
  SEER_ASSIGN_OR_RETURN(std::string name, DatabaseName(url));
  auto database = std::make_unique<PostgresDatabase>(url, std::move(name), options);
  SEER_RETURN_IF_ERROR(database->Connect());
  return std::unique_ptr<SqlDatabase>(std::move(database));
}

}  // namespace seer::coordinator
