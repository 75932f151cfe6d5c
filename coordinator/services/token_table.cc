#include "coordinator/services/token_table.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::coordinator {

TokenTable::TokenTable(CoreRunner& runner, Clock& clock, const Fixed& fixed, JwtVerifier* issuer)
    : runner_(runner), clock_(clock), issuer_(issuer) {
  for (const auto& [secret, principal] : fixed) fixed_[Sha256Hex(secret)] = principal;
}

absl::StatusOr<access::Principal> TokenTable::Authenticate(const std::string& token) {
  const std::string digest = Sha256Hex(token);
  if (const auto it = fixed_.find(digest); it != fixed_.end()) return it->second;
  if (issuer_ != nullptr && !absl::StartsWith(token, "seer_")) return issuer_->Verify(token);
  SEER_RETURN_IF_ERROR(Load());
  TokenRecord record;
  {
    absl::MutexLock lock(&mu_);
    const auto name = names_.find(digest);
    if (name == names_.end()) {
      return Error(absl::StatusCode::kUnauthenticated, reason::kTokenInvalid,
                   "nobody knows this token")
          .Hint("`seer auth login --token-file FILE` with one of this cluster");
    }
    record = by_name_.at(name->second);
  }
  if (record.revoked != absl::InfinitePast()) {
    return Error(absl::StatusCode::kUnauthenticated, reason::kTokenRevoked,
                 absl::StrCat("the token ", record.name, " was revoked"))
        .Hint("ask an admin for another one");
  }
  if (record.expires <= clock_.Now()) return access::ExpiredToken(record.expires);
  SEER_ASSIGN_OR_RETURN(const access::Role role, access::ParseRole(record.role));
  return access::Principal{
      absl::StrCat("tokens/", record.name), {{role, record.queue, record.pool}}, record.expires};
}

absl::StatusOr<std::vector<TokenRecord>> TokenTable::List() {
  SEER_RETURN_IF_ERROR(Load());
  std::vector<TokenRecord> tokens;
  absl::MutexLock lock(&mu_);
  for (const auto& [name, record] : by_name_) tokens.push_back(record);
  return tokens;
}

absl::StatusOr<std::string> TokenTable::Create(TokenRecord record) {
  SEER_RETURN_IF_ERROR(Load());
  const std::string secret = access::NewToken();
  record.digest = Sha256Hex(secret);
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core&, Store& store) -> absl::Status {
    // On the loop's thread: one at a time.
    {
      absl::MutexLock lock(&mu_);
      const auto it = by_name_.find(record.name);
      if (it != by_name_.end() && InForce(it->second)) {
        return Error(absl::StatusCode::kAlreadyExists, reason::kTokenExists,
                     absl::StrCat("the token ", record.name, " is in force"))
            .Field("name")
            .Hint("revoke it first, or take another name");
      }
    }
    SEER_RETURN_IF_ERROR(store.access().PutToken(record));
    absl::MutexLock lock(&mu_);
    if (const auto it = by_name_.find(record.name); it != by_name_.end())
      names_.erase(it->second.digest);
    names_[record.digest] = record.name;
    by_name_.insert_or_assign(record.name, record);
    return absl::OkStatus();
  }));
  return secret;
}

absl::StatusOr<TokenRecord> TokenTable::Revoke(const std::string& name) {
  SEER_RETURN_IF_ERROR(Load());
  TokenRecord record;
  SEER_RETURN_IF_ERROR(runner_.Read([&](const Core&, Store& store) -> absl::Status {
    {
      absl::MutexLock lock(&mu_);
      const auto it = by_name_.find(name);
      if (it == by_name_.end()) {
        return Error(absl::StatusCode::kNotFound, reason::kTokenNotFound,
                     absl::StrCat("no token '", name, "'"))
            .Field("name")
            .Hint("`seer auth token list` shows them");
      }
      record = it->second;
    }
    if (record.revoked != absl::InfinitePast()) return absl::OkStatus();
    record.revoked = clock_.Now();
    SEER_RETURN_IF_ERROR(store.access().PutToken(record));
    absl::MutexLock lock(&mu_);
    by_name_.insert_or_assign(name, record);
    return absl::OkStatus();
  }));
  return record;
}

void TokenTable::Forget() {
  absl::MutexLock lock(&mu_);
  loaded_ = false;
}

absl::Status TokenTable::Load() {
  {
    absl::MutexLock lock(&mu_);
    if (loaded_ && runner_.leads()) return absl::OkStatus();
  }
  return runner_.Read([&](const Core&, Store& store) -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, store.access().Tokens());
    absl::MutexLock lock(&mu_);
    by_name_.clear();
    names_.clear();
    for (const TokenRecord& token : tokens) {
      names_[token.digest] = token.name;
      by_name_[token.name] = token;
    }
    loaded_ = true;
    return absl::OkStatus();
  });
}

}  // namespace seer::coordinator
