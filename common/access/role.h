// Who callers are and what they may do: roles, bound to a queue or a pool or to neither.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seer::access {

// Each includes those before it, but for kWorker, which is beside them: agents and their trainers.
enum class Role { kWorker, kViewer, kSubmitter, kOperator, kAdmin };

const char* RoleName(Role role);  // "viewer"
// INVALID_ARGUMENT: there is no such role; names those that are.
absl::StatusOr<Role> ParseRole(const std::string& name);

struct Grant {
  Role role = Role::kViewer;
  std::string queue, pool;  // what it is bound to; empty: all of them
  friend bool operator==(const Grant&, const Grant&) = default;
};
// "submitter", "submitter of queue vision".
std::string Describe(const Grant& grant);
// "submitter", "submitter@queue:vision", "operator@pool:photos", both with "@queue:a@pool:b".
// INVALID_ARGUMENT: it is none of these.
absl::StatusOr<Grant> ParseGrant(const std::string& text);

struct Principal {
  std::string name;  // "tokens/ci", "bootstrap", "https://issuer#subject"
  std::vector<Grant> grants;
  absl::Time expires = absl::InfiniteFuture();
};

// What a call is about.
struct Target {
  std::optional<std::string> queue, pool;
  bool bound =
      true;  // false: of the whole cluster, and so only for grants that are bound to nothing
};

// Whether `grant`, whose role suffices, is good for a call about `target`. A bound grant changes
// only what is known to lie within all that it is bound to; it reads that, and what lies in no
// queue and pool.
bool Covers(const Grant& grant, const Target& target, bool changes);

}  // namespace seer::access
