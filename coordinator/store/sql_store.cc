#include "coordinator/store/sql_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "coordinator/store/commit_statements.h"
#include "coordinator/store/leader_lease.h"
#include "coordinator/store/record_json.h"
#include "store_migrations.h"

namespace seer::coordinator {
namespace {

class SqlStore final : public Store {
 public:
  SqlStore(std::unique_ptr<SqlDatabase> database, bool shared)
      : db_(std::move(database)),
        shared_(shared),
        access_(MakeSqlAccessStore(*db_, [this] { return CheckTerm(); })) {}

  absl::Status BeginTerm(int64_t term) override {
    if (!shared_) return absl::OkStatus();
    term_ = term;
    SEER_RETURN_IF_ERROR(db_->Transact([this] { return CheckTerm(); }));
    return MigrateSchema(*db_, [this] { return CheckTerm(); });
  }

  absl::StatusOr<StoredState> Load() override { return LoadState(*db_); }

  Commit Prepare(const Changes& changes, const Core& core) override {
    return [this, statements = CommitStatements(changes, core)]() -> absl::Status {
      SEER_RETURN_IF_ERROR(SEER_FAILPOINT_STATUS("coordinator.before_commit"));
      SEER_RETURN_IF_ERROR(db_->Transact([&]() -> absl::Status {
        SEER_RETURN_IF_ERROR(CheckTerm());
        return db_->RunAll(statements);
      }));
      SEER_FAILPOINT("coordinator.after_commit");
      return absl::OkStatus();
    };
  }

  absl::StatusOr<std::vector<Event>> Events(const std::string& job, int64_t after,
                                            int limit) override {
    std::vector<Event> events;
    // Two statements: with "$2 = '' OR job = $2" SQLite would not use the index.
    const std::string of_job = job.empty() ? "$2 = ''" : "job = $2";
    SEER_RETURN_IF_ERROR(db_->Run(
        "reading events",
        absl::StrCat("SELECT number, time_us, job, attempt, type, from_state, to_state, reason, "
                     "message FROM events WHERE number > $1 AND ",
                     of_job, " ORDER BY number LIMIT $3"),
        {after, job, limit}, [&events](const SqlRow& row) {
          events.push_back({row.Int(0), absl::FromUnixMicros(row.Int(1)), row.Text(2),
                            static_cast<int>(row.Int(3)), row.Text(4), row.Text(5), row.Text(6),
                            row.Text(7), row.Text(8)});
          return absl::OkStatus();
        }));
    return events;
  }

  AccessStore& access() override { return *access_; }

 private:
  absl::Status CheckTerm() { return shared_ ? CheckLeads(*db_, term_) : absl::OkStatus(); }

  const std::unique_ptr<SqlDatabase> db_;
  const bool shared_;
  const std::unique_ptr<AccessStore> access_;
  int64_t term_ = 0;
};

}  // namespace

absl::Status CheckSchema(SqlDatabase& database) {
  SEER_ASSIGN_OR_RETURN(const int64_t version, database.SchemaVersion());
  if (version <= kSchemaVersion) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kDatabaseTooNew,
               absl::StrCat(database.name(), " has schema ", version, ", this version knows ",
                            kSchemaVersion))
      .Field("database")
      .Hint("run the coordinator's newer version, or restore a backup from before the upgrade");
}

absl::Status MigrateSchema(SqlDatabase& database, const std::function<absl::Status()>& check) {
  SEER_RETURN_IF_ERROR(CheckSchema(database));
  SEER_ASSIGN_OR_RETURN(int64_t version, database.SchemaVersion());
  for (; version < kSchemaVersion; ++version) {
    SEER_RETURN_IF_ERROR(database.Transact([&]() -> absl::Status {
      SEER_RETURN_IF_ERROR(check());
      SEER_RETURN_IF_ERROR(database.RunScript("migrating the schema", database.Migration(version)));
      return database.SetSchemaVersion(version + 1);
    }));
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredState> LoadState(SqlDatabase& database) {
  StoredState state;
  SEER_RETURN_IF_ERROR(database.Run("reading jobs", "SELECT record, spec FROM jobs", {},
                                    [&state](const SqlRow& row) -> absl::Status {
                                      SEER_ASSIGN_OR_RETURN(Job job, JobFromJson(row.Text(0)));
                                      job.spec = row.Text(1);
                                      state.jobs.push_back(std::move(job));
                                      return absl::OkStatus();
                                    }));
  SEER_RETURN_IF_ERROR(database.Run("reading checkpoints", "SELECT record FROM checkpoints", {},
                                    [&state](const SqlRow& row) -> absl::Status {
                                      SEER_ASSIGN_OR_RETURN(Checkpoint checkpoint,
                                                            CheckpointFromJson(row.Text(0)));
                                      state.checkpoints.push_back(std::move(checkpoint));
                                      return absl::OkStatus();
                                    }));
  SEER_RETURN_IF_ERROR(database.Run("reading workers", "SELECT record FROM workers", {},
                                    [&state](const SqlRow& row) -> absl::Status {
                                      SEER_ASSIGN_OR_RETURN(Worker worker,
                                                            WorkerFromJson(row.Text(0)));
                                      state.workers.push_back(std::move(worker));
                                      return absl::OkStatus();
                                    }));
  SEER_RETURN_IF_ERROR(database.Run("reading queues", "SELECT record FROM queues", {},
                                    [&state](const SqlRow& row) -> absl::Status {
                                      SEER_ASSIGN_OR_RETURN(Queue queue,
                                                            QueueFromJson(row.Text(0)));
                                      state.queues.push_back(std::move(queue));
                                      return absl::OkStatus();
                                    }));
  SEER_RETURN_IF_ERROR(database.Run("reading schedules", "SELECT record, spec FROM schedules", {},
                                    [&state](const SqlRow& row) -> absl::Status {
                                      SEER_ASSIGN_OR_RETURN(JobSchedule schedule,
                                                            ScheduleFromJson(row.Text(0)));
                                      schedule.spec = row.Text(1);
                                      state.schedules.push_back(std::move(schedule));
                                      return absl::OkStatus();
                                    }));
  SEER_RETURN_IF_ERROR(database.Run("reading sweeps", "SELECT record, definition FROM sweeps", {},
                                    [&state](const SqlRow& row) -> absl::Status {
                                      SEER_ASSIGN_OR_RETURN(Sweep sweep,
                                                            SweepFromJson(row.Text(0)));
                                      sweep.definition = row.Text(1);
                                      state.sweeps.push_back(std::move(sweep));
                                      return absl::OkStatus();
                                    }));
  SEER_RETURN_IF_ERROR(database.Run(
      "reading requests", "SELECT id, job, time_us FROM requests", {}, [&state](const SqlRow& row) {
        state.requests.push_back({row.Text(0), row.Text(1), absl::FromUnixMicros(row.Int(2))});
        return absl::OkStatus();
      }));
  // Events' numbers are never used again, and the newest events may be gone.
  SEER_RETURN_IF_ERROR(database.Run("reading the last event",
                                    "SELECT COALESCE(MAX(number), 0) FROM events", {},
                                    [&state](const SqlRow& row) {
                                      state.last_event = row.Int(0);
                                      return absl::OkStatus();
                                    }));
  SEER_RETURN_IF_ERROR(database.Run("reading counters", "SELECT name, value FROM counters", {},
                                    [&state](const SqlRow& row) {
                                      const std::string name = row.Text(0);
                                      if (name == "attempt") state.last_attempt = row.Int(1);
                                      if (name == "event")
                                        state.last_event = std::max(state.last_event, row.Int(1));
                                      if (name == "first_event")
                                        state.first_event = std::max<int64_t>(1, row.Int(1));
                                      return absl::OkStatus();
                                    }));
  SEER_RETURN_IF_ERROR(database.Run(
      "reading events", "SELECT number, time_us FROM events WHERE number % $1 = 0 ORDER BY number",
      {kEventBlock}, [&state](const SqlRow& row) {
        state.event_marks.push_back({row.Int(0), absl::FromUnixMicros(row.Int(1))});
        return absl::OkStatus();
      }));
  return state;
}

std::unique_ptr<Store> MakeSqlStore(std::unique_ptr<SqlDatabase> database, bool shared) {
  return std::make_unique<SqlStore>(std::move(database), shared);
}

}  // namespace seer::coordinator
