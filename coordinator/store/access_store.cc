#include "coordinator/store/access_store.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/store/record_parts.h"
#include "coordinator/store/sql_database.h"

namespace seer::coordinator {
namespace {

std::string ToJson(const TokenRecord& t) {
  return Dump({{"role", t.role},
               {"queue", t.queue},
               {"pool", t.pool},
               {"created_us", Micros(t.created)},
               {"expires_us", Micros(t.expires)},
               {"revoked_us", Micros(t.revoked)},
               {"creator", t.creator}});
}

absl::StatusOr<TokenRecord> TokenFromJson(std::string name, std::string digest,
                                          const std::string& text) {
  try {
    const nlohmann::json in = nlohmann::json::parse(text);
    TokenRecord t;
    t.name = std::move(name);
    t.digest = std::move(digest);
    t.role = in.at("role");
    t.queue = in.at("queue");
    t.pool = in.at("pool");
    t.created = FromMicros(in.at("created_us"));
    t.expires = FromMicros(in.at("expires_us"));
    t.revoked = FromMicros(in.at("revoked_us"));
    t.creator = in.at("creator");
    return t;
  } catch (const std::exception& error) {
    return Corrupt("token", error);
  }
}

class SqlAccessStore final : public AccessStore {
 public:
  SqlAccessStore(SqlDatabase& database, std::function<absl::Status()> check)
      : db_(database), check_(std::move(check)) {}

  absl::StatusOr<std::vector<TokenRecord>> Tokens() override {
    std::vector<TokenRecord> tokens;
    SEER_RETURN_IF_ERROR(
        db_.Run("reading tokens", "SELECT name, digest, record FROM tokens ORDER BY name", {},
                [&tokens](const SqlRow& row) -> absl::Status {
                  SEER_ASSIGN_OR_RETURN(tokens.emplace_back(),
                                        TokenFromJson(row.Text(0), row.Text(1), row.Text(2)));
                  return absl::OkStatus();
                }));
    return tokens;
  }

  absl::Status PutToken(const TokenRecord& token) override {
    return db_.Transact([&]() -> absl::Status {
      SEER_RETURN_IF_ERROR(check_());
      return db_.Run("writing a token",
                     "INSERT INTO tokens (name, digest, record) VALUES ($1, $2, $3) ON CONFLICT "
                     "(name) DO UPDATE SET digest = excluded.digest, record = excluded.record",
                     {token.name, token.digest, ToJson(token)});
    });
  }

  absl::Status AppendAudit(const std::vector<AuditRecord>& entries) override {
    return db_.Transact([&]() -> absl::Status {
      SEER_RETURN_IF_ERROR(check_());
      int64_t last = 0;
      SEER_RETURN_IF_ERROR(db_.Run("reading the audit",
                                   "SELECT COALESCE(MAX(number), 0) FROM audit", {},
                                   [&last](const SqlRow& row) {
                                     last = row.Int(0);
                                     return absl::OkStatus();
                                   }));
      for (const AuditRecord& e : entries) {
        SEER_ASSIGN_OR_RETURN(const bool repeated, Repeated(e));
        if (repeated) continue;
        SEER_RETURN_IF_ERROR(
            db_.Run("writing to the audit",
                    "INSERT INTO audit (number, time_us, principal, method, resource, request_id, "
                    "code, reason, peer) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    {++last, absl::ToUnixMicros(e.time), e.principal, e.method, e.resource,
                     e.request_id, e.code, e.reason, e.peer}));
      }
      return absl::OkStatus();
    });
  }

  absl::StatusOr<std::vector<AuditRecord>> Audit(const AuditQuery& query) override {
    std::vector<AuditRecord> entries;
    const std::string any_service = absl::StrCat("%/", query.method);
    SEER_RETURN_IF_ERROR(db_.Run(
        "reading the audit",
        "SELECT number, time_us, principal, method, resource, request_id, code, reason, peer FROM "
        "audit WHERE time_us > $1 AND ($2 = 0 OR number < $2) AND ($3 = '' OR principal = $3) AND "
        "($4 = '' OR method = $4 OR method LIKE $5) AND ($6 = '' OR resource = $6) ORDER BY number "
        "DESC LIMIT $7",
        {Micros(query.after), query.below, query.principal, query.method, any_service,
         query.resource, query.limit},
        [&entries](const SqlRow& row) {
          entries.push_back({row.Int(0), absl::FromUnixMicros(row.Int(1)), row.Text(2), row.Text(3),
                             row.Text(4), row.Text(5), row.Text(6), row.Text(7), row.Text(8)});
          return absl::OkStatus();
        }));
    return entries;
  }

  absl::Status DropAuditBefore(absl::Time time) override {
    return db_.Transact([&]() -> absl::Status {
      SEER_RETURN_IF_ERROR(check_());
      return db_.Run("dropping old entries of the audit", "DELETE FROM audit WHERE time_us < $1",
                     {absl::ToUnixMicros(time)});
    });
  }

 private:
  absl::StatusOr<bool> Repeated(const AuditRecord& entry) {
    if (entry.request_id.empty() || entry.code != "OK") return false;
    bool found = false;
    SEER_RETURN_IF_ERROR(db_.Run(
        "reading the audit",
        "SELECT number FROM audit WHERE request_id = $1 AND method = $2 AND principal = $3 AND "
        "code = 'OK' LIMIT 1",
        {entry.request_id, entry.method, entry.principal}, [&found](const SqlRow&) {
          found = true;
          return absl::OkStatus();
        }));
    return found;
  }

  SqlDatabase& db_;
  const std::function<absl::Status()> check_;
};

class MemoryAccessStore final : public AccessStore {
 public:
  absl::StatusOr<std::vector<TokenRecord>> Tokens() override {
    std::vector<TokenRecord> tokens;
    for (const auto& [name, token] : tokens_) tokens.push_back(token);
    return tokens;
  }
  absl::Status PutToken(const TokenRecord& token) override {
    tokens_.insert_or_assign(token.name, token);
    return absl::OkStatus();
  }
  absl::Status AppendAudit(const std::vector<AuditRecord>& entries) override {
    for (const AuditRecord& e : entries) {
      const bool repeated =
          !e.request_id.empty() && e.code == "OK" &&
          std::any_of(audit_.begin(), audit_.end(), [&](const AuditRecord& other) {
            return other.request_id == e.request_id && other.method == e.method &&
                   other.principal == e.principal && other.code == "OK";
          });
      if (repeated) continue;
      audit_.push_back(e);
      audit_.back().number = ++last_;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<AuditRecord>> Audit(const AuditQuery& query) override {
    std::vector<AuditRecord> found;
    for (auto e = audit_.rbegin(); e != audit_.rend(); ++e) {
      if (static_cast<int>(found.size()) == query.limit) break;
      if (e->time > query.after && (query.below == 0 || e->number < query.below) &&
          (query.principal.empty() || e->principal == query.principal) &&
          (query.method.empty() || e->method == query.method ||
           absl::EndsWith(e->method, absl::StrCat("/", query.method))) &&
          (query.resource.empty() || e->resource == query.resource))
        found.push_back(*e);
    }
    return found;
  }
  absl::Status DropAuditBefore(absl::Time time) override {
    std::erase_if(audit_, [time](const AuditRecord& e) { return e.time < time; });
    return absl::OkStatus();
  }

 private:
  std::map<std::string, TokenRecord> tokens_;
  std::vector<AuditRecord> audit_;
  int64_t last_ = 0;
};

}  // namespace

std::unique_ptr<AccessStore> MakeSqlAccessStore(SqlDatabase& database,
                                                std::function<absl::Status()> check) {
  return std::make_unique<SqlAccessStore>(database, std::move(check));
}

std::unique_ptr<AccessStore> MakeMemoryAccessStore() {
  return std::make_unique<MemoryAccessStore>();
}

}  // namespace seer::coordinator
