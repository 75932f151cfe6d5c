// Who of several coordinators on one PostgreSQL database leads: one row with the holder, its term
// and its end by the database's clock. Each new holder gets a larger term, and every commit checks
// the term in its own transaction, so that what has lost the lease can commit nothing, however late
// it learns of it. Not thread-safe: it owns a connection of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/store/sql_database.h"

namespace seer::coordinator {

class LeaderLease {
 public:
  // `holder`: of this process alone.
  LeaderLease(std::unique_ptr<SqlDatabase> database, std::string holder, absl::Duration duration)
      : db_(std::move(database)), holder_(std::move(holder)), duration_(duration) {}

  struct State {
    int64_t term = 0;    // > 0: this process holds the lease, from when it asked for duration()
    std::string leader;  // address of another one that does; empty: nobody does for now
  };
  // Renews the lease if this process holds it, else takes it if nobody does. `address`: where
  // others reach this process, "host:port". Errors of SqlDatabase.
  absl::StatusOr<State> Campaign(const std::string& address);
  // Lets another one take it at once.
  absl::Status Resign();
  absl::Duration duration() const { return duration_; }

 private:
  absl::StatusOr<int64_t> Update(const std::string& sql, const std::vector<SqlValue>& values);

  const std::unique_ptr<SqlDatabase> db_;
  const std::string holder_;
  const absl::Duration duration_;
  int64_t term_ = 0;  // 0: not held
};

// Makes the row if there is none.
absl::Status PrepareLeaderLease(SqlDatabase& database);

// Within a transaction: that it is still the term `term`, and stays so until the transaction ends.
// UNAVAILABLE with NOT_LEADER.
absl::Status CheckLeads(SqlDatabase& database, int64_t term);

// That no coordinator leads on it, and that none does until the transaction ends.
// FAILED_PRECONDITION with DATABASE_LOCKED.
absl::Status CheckNobodyLeads(SqlDatabase& database);

// UNAVAILABLE with NOT_LEADER, and the metadata "leader" unless `leader` is empty: not known.
absl::Status NotLeader(const std::string& leader);

}  // namespace seer::coordinator
