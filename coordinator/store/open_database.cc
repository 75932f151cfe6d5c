#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/process.h"
#include "coordinator/store/database_url.h"
#include "coordinator/store/leader_lease.h"
#include "coordinator/store/postgres_database.h"
#include "coordinator/store/sql_store.h"
#include "coordinator/store/sqlite_database.h"
#include "coordinator/store/store.h"

namespace seer::coordinator {
namespace {

// A busy server may need so long to let a connection in.
constexpr absl::Duration kShortestLimit = absl::Seconds(1);

absl::StatusOr<OpenedDatabase> OpenShared(const std::string& url, absl::Duration lease) {
  PostgresOptions options;
  options.transaction_limit = lease;
  SEER_ASSIGN_OR_RETURN(auto database, OpenPostgres(url, options));
  SEER_RETURN_IF_ERROR(CheckSchema(*database));
  // A renewal that is not answered must leave time for another one.
  PostgresOptions quick;
  quick.limit = quick.transaction_limit = std::max(lease / 2, kShortestLimit);
  SEER_ASSIGN_OR_RETURN(auto campaign, OpenPostgres(url, quick));
  SEER_RETURN_IF_ERROR(PrepareLeaderLease(*campaign));
  const std::string holder =
      absl::StrCat(HostName(), "/", ::getpid(), "/", absl::Uniform<uint64_t>(absl::BitGen()));
  OpenedDatabase opened;
  opened.lease = std::make_unique<LeaderLease>(std::move(campaign), holder, lease);
  opened.store = MakeSqlStore(std::move(database), /*shared=*/true);
  return opened;
}

}  // namespace

OpenedDatabase::OpenedDatabase() = default;
OpenedDatabase::OpenedDatabase(OpenedDatabase&&) = default;
OpenedDatabase::~OpenedDatabase() = default;

absl::StatusOr<OpenedDatabase> OpenDatabase(const std::string& database, absl::Duration lease) {
  SEER_RETURN_IF_ERROR(DatabaseName(database).status());
  if (IsPostgres(database)) return OpenShared(database, lease);
  SEER_ASSIGN_OR_RETURN(auto sqlite, OpenSqlite(database));
  SEER_RETURN_IF_ERROR(MigrateSchema(*sqlite, [] { return absl::OkStatus(); }));
  OpenedDatabase opened;
  opened.store = MakeSqlStore(std::move(sqlite), /*shared=*/false);
  return opened;
}

}  // namespace seer::coordinator
