#include "coordinator/store/database_url.h"

#include <libpq-fe.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer::coordinator {
namespace {

constexpr char kExamples[] =
    "write a path, for example state/coordinator.db, or "
    "postgresql://USER@HOST:5432/DATABASE (password in PGPASSWORD or ~/.pgpass)";

}  // namespace

bool IsPostgres(const std::string& database) {
  return absl::StartsWith(database, "postgresql://") || absl::StartsWith(database, "postgres://");
}

absl::StatusOr<std::string> DatabaseName(const std::string& database) {
  if (!IsPostgres(database)) {
    if (!database.empty() && !absl::StrContains(database, "://")) return database;
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("'", database, "' is neither a path nor a postgresql:// URL"))
        .Field("database")
        .Hint(kExamples);
  }
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parts(
      PQconninfoParse(database.c_str(), &message), PQconninfoFree);
  if (!parts) {  // the message quotes what it could not read, which may be the password
    PQfreemem(message);
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 "the postgresql:// URL cannot be read")
        .Field("database")
        .Hint(absl::StrCat(kExamples,
                           "; characters such as @ : / and % in names are written as %XX"));
  }
  std::string user, host, port, name;
  for (const PQconninfoOption* part = parts.get(); part->keyword != nullptr; ++part) {
    if (part->val == nullptr) continue;
    const std::string keyword = part->keyword;
    if (keyword == "user") user = absl::StrCat(part->val, "@");
    if (keyword == "host") host = part->val;
    if (keyword == "port") port = absl::StrCat(":", part->val);
    if (keyword == "dbname") name = part->val;
  }
  return absl::StrCat("postgresql://", user, host, port, absl::StartsWith(name, "/") ? "" : "/",
                      name);
}

}  // namespace seer::coordinator
