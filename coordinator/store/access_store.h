// Tokens, without their secrets, and the record of calls: what is kept beside the core's state. Not
// thread-safe: of the thread that owns the store.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seer::coordinator {

class SqlDatabase;

struct TokenRecord {
  std::string name;         // without "tokens/"
  std::string digest;       // SHA-256 of the secret, in hex
  std::string role;         // access::RoleName
  std::string queue, pool;  // that it is bound to; empty: none
  absl::Time created, expires;
  absl::Time revoked = absl::InfinitePast();  // it is not
  std::string creator;                        // principal's name
};

struct AuditRecord {
  int64_t number = 0;  // given by the store
  absl::Time time;
  std::string principal, method, resource, request_id, code, reason, peer;
};

struct AuditQuery {
  std::string principal, method, resource;  // empty: any; a method without '/' is of any service
  absl::Time after = absl::InfinitePast();
  int64_t below = 0;  // only smaller numbers; 0: all
  int limit = 100;
};

// Errors of all: as Store::Apply.
class AccessStore {
 public:
  virtual ~AccessStore() = default;
  virtual absl::StatusOr<std::vector<TokenRecord>> Tokens() = 0;  // by name
  virtual absl::Status PutToken(const TokenRecord& token) = 0;    // in the place of its name's
  // In one transaction. A repetition, of the same request id, method and principal with the answer
  // OK, is left out: it did nothing.
  virtual absl::Status AppendAudit(const std::vector<AuditRecord>& entries) = 0;
  virtual absl::StatusOr<std::vector<AuditRecord>> Audit(
      const AuditQuery& query) = 0;  // newest first
  virtual absl::Status DropAuditBefore(absl::Time time) = 0;
};

// `database` must outlive it; `check` is asked in every transaction that writes.
std::unique_ptr<AccessStore> MakeSqlAccessStore(SqlDatabase& database,
                                                std::function<absl::Status()> check);
std::unique_ptr<AccessStore> MakeMemoryAccessStore();

}  // namespace seer::coordinator
