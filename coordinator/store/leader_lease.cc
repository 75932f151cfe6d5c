#include "coordinator/store/leader_lease.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer::coordinator {
namespace {

// Two that start on a new database at once: one makes the table, the other waits.
constexpr char kPrepare[] = R"sql(
SELECT pg_advisory_xact_lock(7301401);
CREATE TABLE IF NOT EXISTS leader (
  one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
  holder TEXT NOT NULL,
  address TEXT NOT NULL,
  term BIGINT NOT NULL,
  expires TIMESTAMPTZ NOT NULL
);
INSERT INTO leader (holder, address, term, expires) VALUES ('', '', 0, '-infinity')
  ON CONFLICT DO NOTHING)sql";

}  // namespace

absl::Status PrepareLeaderLease(SqlDatabase& database) {
  return database.Transact(
      [&database] { return database.RunScript("preparing the leader's lease", kPrepare); });
}

// The new term; 0: no row.
absl::StatusOr<int64_t> LeaderLease::Update(const std::string& sql,
                                            const std::vector<SqlValue>& values) {
  int64_t term = 0;
  SEER_RETURN_IF_ERROR(
      db_->Run("asking for the leader's lease", sql, values, [&term](const SqlRow& row) {
        term = row.Int(0);
        return absl::OkStatus();
      }));
  return term;
}

// clock_timestamp(), not now(): a wait for the row's lock counts.
absl::StatusOr<LeaderLease::State> LeaderLease::Campaign(const std::string& address) {
  const int64_t milliseconds = absl::ToInt64Milliseconds(duration_);
  State state;
  if (term_ > 0) {
    SEER_ASSIGN_OR_RETURN(
        state.term,
        Update("UPDATE leader SET expires = clock_timestamp() + $1 * interval '1 millisecond' "
               "WHERE holder = $2 AND term = $3 RETURNING term",
               {milliseconds, holder_, term_}));
    term_ = state.term;
    if (term_ > 0) return state;
  }
  SEER_ASSIGN_OR_RETURN(
      state.term,
      Update("UPDATE leader SET expires = clock_timestamp() + $1 * interval '1 millisecond', "
             "holder = $2, address = $3, term = term + 1 "
             "WHERE holder = $2 OR expires <= clock_timestamp() RETURNING term",
             {milliseconds, holder_, address}));
  term_ = state.term;
  if (term_ > 0) return state;
  SEER_RETURN_IF_ERROR(db_->Run("asking who leads",
                                "SELECT address FROM leader WHERE expires > clock_timestamp()", {},
                                [&state](const SqlRow& row) {
                                  state.leader = row.Text(0);
                                  return absl::OkStatus();
                                }));
  return state;
}

absl::Status LeaderLease::Resign() {
  const int64_t term = std::exchange(term_, 0);
  if (term == 0) return absl::OkStatus();
  return Update(
             "UPDATE leader SET expires = '-infinity', holder = '' WHERE holder = $1 AND "
             "term = $2 RETURNING term",
             {holder_, term})
      .status();
}

absl::Status CheckLeads(SqlDatabase& database, int64_t term) {
  int64_t current = 0;
  std::string leader;
  SEER_RETURN_IF_ERROR(database.Run("checking who leads",
                                    "SELECT term, address FROM leader FOR SHARE", {},
                                    [&](const SqlRow& row) {
                                      current = row.Int(0);
                                      leader = row.Text(1);
                                      return absl::OkStatus();
                                    }));
  return current == term && term > 0 ? absl::OkStatus() : NotLeader(leader);
}

absl::Status CheckNobodyLeads(SqlDatabase& database) {
  std::string leader;
  SEER_RETURN_IF_ERROR(
      database.Run("checking who leads",
                   "SELECT CASE WHEN expires > clock_timestamp() THEN address ELSE '' END FROM "
                   "leader FOR UPDATE",
                   {}, [&leader](const SqlRow& row) {
                     leader = row.Text(0);
                     return absl::OkStatus();
                   }));
  if (leader.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kDatabaseLocked,
               absl::StrCat("the coordinator ", leader, " uses the database ", database.name()))
      .Field("database")
      .Hint("stop all coordinators of it first");
}

absl::Status NotLeader(const std::string& leader) {
  constexpr char kHint[] =
      "give --coordinator the addresses of all coordinators, with commas: the one that leads is "
      "found";
  if (leader.empty()) {
    return Error(absl::StatusCode::kUnavailable, reason::kNotLeader,
                 "this coordinator stands by, and none is known to lead now")
        .Hint(kHint);
  }
  return Error(absl::StatusCode::kUnavailable, reason::kNotLeader,
               absl::StrCat("this coordinator stands by; ", leader, " leads"))
      .Hint(kHint)
      .With("leader", leader);
}

}  // namespace seer::coordinator
