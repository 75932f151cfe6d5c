#include "common/access/role.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::access {
namespace {

constexpr const char* kNames[] = {"worker", "viewer", "submitter", "operator", "admin"};

bool CoversOne(const std::string& bound_to, const std::optional<std::string>& about, bool changes) {
  return bound_to.empty() || (about ? *about == bound_to : !changes);
}

}  // namespace

const char* RoleName(Role role) { return kNames[static_cast<int>(role)]; }

absl::StatusOr<Role> ParseRole(const std::string& name) {
  for (const Role role :
       {Role::kWorker, Role::kViewer, Role::kSubmitter, Role::kOperator, Role::kAdmin})
    if (name == RoleName(role)) return role;
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("there is no role '", name, "'"))
      .Field("role")
      .Hint("one of viewer, submitter, operator, admin; worker for agents");
}

std::string Describe(const Grant& grant) {
  std::string text = RoleName(grant.role);
  if (!grant.queue.empty()) absl::StrAppend(&text, " of queue ", grant.queue);
  if (!grant.pool.empty())
    absl::StrAppend(&text, grant.queue.empty() ? " of pool " : " and pool ", grant.pool);
  return text;
}

absl::StatusOr<Grant> ParseGrant(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '@');
  Grant grant;
  SEER_ASSIGN_OR_RETURN(grant.role, ParseRole(parts[0]));
  for (size_t i = 1; i < parts.size(); ++i) {
    absl::string_view bound = parts[i];
    std::string* to = nullptr;
    if (absl::ConsumePrefix(&bound, "queue:")) {
      to = &grant.queue;
    } else if (absl::ConsumePrefix(&bound, "pool:")) {
      to = &grant.pool;
    }
    if (to == nullptr || bound.empty() || !to->empty()) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("'", text, "' binds a role to nothing that is known"))
          .Field("role")
          .Hint("write ROLE, ROLE@queue:QUEUE, ROLE@pool:POOL or ROLE@queue:QUEUE@pool:POOL");
    }
    *to = std::string(bound);
  }
  return grant;
}

bool Covers(const Grant& grant, const Target& target, bool changes) {
  if (grant.queue.empty() && grant.pool.empty()) return true;
  return target.bound && CoversOne(grant.queue, target.queue, changes) &&
         CoversOne(grant.pool, target.pool, changes);
}

}  // namespace seer::access
