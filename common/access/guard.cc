#include "common/access/guard.h"

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/rpc/peer.h"
#include "common/rpc/status_grpc.h"

namespace seer::access {
namespace {

// "ipv4:10.0.0.7:41234" -> "ipv4:10.0.0.7"
std::string HostOf(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

// "pools/photos/generations/3" -> "photos"
std::string NameIn(absl::string_view name, absl::string_view collection) {
  absl::ConsumePrefix(&name, collection);
  return std::string(name.substr(0, name.find('/')));
}

bool WorkersOnly(const Principal& principal) {
  return std::all_of(principal.grants.begin(), principal.grants.end(),
                     [](const Grant& grant) { return grant.role == Role::kWorker; });
}

bool Suffices(const Grant& grant, const MethodRule& rule) {
  return grant.role == Role::kWorker ? rule.worker : grant.role >= rule.least;
}

std::string Roles(const Principal& principal) {
  if (principal.grants.empty()) return "no role";
  return absl::StrJoin(principal.grants, ", ", [](std::string* out, const Grant& grant) {
    absl::StrAppend(out, Describe(grant));
  });
}

// Whether an update's mask sets the queue: then the spec that goes with it says which.
bool SetsQueue(const google::protobuf::Message& request) {
  const auto* const mask = MessageAt(request, "update_mask");
  if (mask == nullptr) return false;
  const auto* const paths = mask->GetDescriptor()->FindFieldByName("paths");
  for (int i = 0; i < mask->GetReflection()->FieldSize(*mask, paths); ++i) {
    const std::string path = mask->GetReflection()->GetRepeatedString(*mask, paths, i);
    if (absl::EndsWith(path, "spec") || absl::EndsWith(path, "scheduling") ||
        absl::EndsWith(path, "scheduling.queue"))
      return true;
  }
  return false;
}

absl::Status TooMany(const std::string& what, const std::string& hint) {
  return Error(absl::StatusCode::kResourceExhausted, reason::kTooManyCalls, what).Hint(hint);
}

}  // namespace

void LogAuditEntry(const AuditEntry& entry) {
  LogInfo("audit", {{"principal", entry.who},
                    {"method", entry.method},
                    {"resource", entry.resource},
                    {"request_id", entry.request_id},
                    {"code", entry.code},
                    {"reason", entry.reason},
                    {"peer", entry.peer}});
}

absl::Status AccessGuard::Begin(const IncomingCall& call) {
  const std::string peer = PeerOf(call.context);
  const std::string host = HostOf(peer);
  if (!MayTry(host))
    return TooMany("too many tokens of this host were refused", "wait a second, then try again");
  const MethodRule* const rule = FindMethod(call.method);
  if (rule == nullptr)
    return absl::PermissionDeniedError(absl::StrCat("nobody may call ", call.method));
  SEER_ASSIGN_OR_RETURN(const std::string token, TokenOf(call.context));
  const auto principal = authenticator_.Authenticate(token);
  if (absl::IsUnauthenticated(principal.status())) {
    absl::MutexLock lock(&mu_);
    Refill(host).tokens -= 1;
  }
  SEER_RETURN_IF_ERROR(principal.status());

  const std::string client = absl::StrCat(principal->name, " ", host);
  Call running{client, rule->changes, {}, ""};
  if (rule->changes) {
    running.token = token;
    running.entry = {clock_.Now(), principal->name, call.method, "", "", "", "", peer};
    running.entry.resource = TextAt(*call.request, rule->path);
    if (running.entry.resource.empty() && rule->about == About::kSpec)
      running.entry.resource = TextAt(*call.request, absl::StrCat(rule->path, ".metadata.name"));
    if (running.entry.resource.empty() && rule->about == About::kBinding)
      running.entry.resource = TextAt(*call.request, absl::StrCat(rule->path, ".name"));
    running.entry.request_id = TextAt(*call.request, "request_id");
  }
  absl::Status allowed = Authorize(*principal, *rule, call);
  if (allowed.ok() && !WorkersOnly(*principal)) allowed = Spend(client);
  if (!allowed.ok() && rule->changes && audit_) {
    running.entry.code = absl::StatusCodeToString(allowed.code());
    if (const auto detail = GetErrorDetail(allowed)) running.entry.reason = detail->reason;
    audit_(running.entry, token);
  }
  if (!allowed.ok() || call.request == nullptr) return allowed;
  absl::MutexLock lock(&mu_);
  ++clients_[client].calls;
  calls_[&call.context] = std::move(running);
  return absl::OkStatus();
}

absl::Status AccessGuard::CheckRead(const IncomingCall& call) {
  const MethodRule* const rule = FindMethod(call.method);
  if (rule == nullptr)
    return absl::PermissionDeniedError(absl::StrCat("nobody may call ", call.method));
  SEER_ASSIGN_OR_RETURN(const std::string token, TokenOf(call.context));
  SEER_ASSIGN_OR_RETURN(const Principal principal, authenticator_.Authenticate(token));
  return Authorize(principal, *rule, call);
}

void AccessGuard::Answered(const grpc::ServerContextBase& context, const grpc::Status& status) {
  AuditEntry entry;
  std::string token;
  {
    absl::MutexLock lock(&mu_);
    const auto it = calls_.find(&context);
    if (it == calls_.end() || !std::exchange(it->second.audited, false)) return;
    entry = std::move(it->second.entry);
    token = std::move(it->second.token);
  }
  const absl::Status answer = FromGrpc(status);
  entry.code = absl::StatusCodeToString(answer.code());
  if (const auto detail = GetErrorDetail(answer)) entry.reason = detail->reason;
  if (audit_) audit_(entry, token);
}

void AccessGuard::End(const grpc::ServerContextBase& context) {
  absl::MutexLock lock(&mu_);
  const auto it = calls_.find(&context);
  if (it == calls_.end()) return;
  --clients_[it->second.client].calls;
  calls_.erase(it);
}

absl::Status AccessGuard::Authorize(const Principal& principal, const MethodRule& rule,
                                    const IncomingCall& call) const {
  std::vector<const Grant*> grants;
  for (const Grant& grant : principal.grants)
    if (Suffices(grant, rule)) grants.push_back(&grant);
  if (grants.empty()) {
    const char* const needed =
        rule.worker && rule.least == Role::kAdmin ? RoleName(Role::kWorker) : RoleName(rule.least);
    return Error(absl::StatusCode::kPermissionDenied, reason::kRoleTooLow,
                 absl::StrCat(principal.name, " (", Roles(principal), ") may not call ",
                              call.method, ", which needs the role ", needed))
        .Hint(absl::StrCat("ask an admin for a token of it: `seer auth token create NAME --role ",
                           needed, "`"))
        .With("role", needed);
  }
  if (call.request != nullptr) {
    const size_t bytes = call.request->ByteSizeLong();
    if (bytes > rule.max_bytes) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kRequestTooLarge,
                   absl::StrCat("the request has ", bytes, " bytes, ", call.method,
                                " takes at most ", rule.max_bytes))
          .Hint("send less in one call");
    }
  }
  const auto unbound = [](const Grant* grant) {
    return grant->queue.empty() && grant->pool.empty();
  };
  if (std::any_of(grants.begin(), grants.end(), unbound)) return absl::OkStatus();
  const std::vector<Target> targets = TargetsOf(rule, call);
  for (const Grant* grant : grants) {
    if (std::all_of(targets.begin(), targets.end(),
                    [&](const Target& target) { return Covers(*grant, target, rule.changes); }))
      return absl::OkStatus();
  }
  const Target& target = targets.front();
  std::string where = "of the whole cluster";
  if (target.bound) {
    where = absl::StrCat(target.queue ? absl::StrCat("in queue ", *target.queue) : "in no queue",
                         ", ", target.pool ? absl::StrCat("pool ", *target.pool) : "no one pool");
  }
  return Error(absl::StatusCode::kPermissionDenied, reason::kOutOfScope,
               absl::StrCat(principal.name, " (", Roles(principal), ") may not call ", call.method,
                            " for what is ", where))
      .Hint("ask an admin for a token that is bound to it, or to nothing");
}

std::vector<Target> AccessGuard::TargetsOf(const MethodRule& rule, const IncomingCall& call) const {
  Target target;
  if (rule.about == About::kCluster) target.bound = false;
  if (call.request == nullptr) return {target};
  const google::protobuf::Message& request = *call.request;
  const std::string name = TextAt(request, rule.path);
  switch (rule.about) {
    case About::kNothing:
    case About::kCluster:
      break;
    case About::kSpec:
      if (const auto* spec = MessageAt(request, rule.path)) target = TargetOfSpec(*spec);
      break;
    case About::kBinding:
      if (const auto* bound = MessageAt(request, rule.path)) {
        if (std::string queue = TextAt(*bound, "queue"); !queue.empty()) target.queue = queue;
        if (std::string pool = TextAt(*bound, "pool"); !pool.empty()) target.pool = pool;
      }
      break;
    case About::kQueue:
      target.queue = NameIn(name, "queues/");
      break;
    case About::kPool:
      target.pool = NameIn(name, "pools/");
      break;
    case About::kJob:
    case About::kSchedule:
    case About::kSweep:
      if (name.empty()) break;
      // What is not there is nobody's: who may not change it everywhere is not told.
      if (const auto found = find_(rule.about, name); found.ok()) target = *found;
      break;
  }
  std::vector<Target> targets = {std::move(target)};
  // An update may also move it.
  const absl::string_view path = rule.path;
  if (absl::EndsWith(path, ".name") && SetsQueue(request)) {
    const std::string spec = absl::StrCat(absl::StripSuffix(path, "name"), "spec");
    if (const auto* moved = MessageAt(request, spec)) {
      targets.push_back(TargetOfSpec(*moved));
      if (!targets.back().pool) targets.back().pool = targets.front().pool;
    }
  }
  return targets;
}

AccessGuard::Client& AccessGuard::Refill(const std::string& name) {
  const absl::Duration now = clock_.Steady();
  if (clients_.size() >= options_.clients && !clients_.contains(name)) {
    absl::erase_if(clients_, [&](const auto& entry) {
      return entry.second.calls == 0 && now - entry.second.filled > absl::Minutes(1);
    });
  }
  const auto [it, is_new] = clients_.try_emplace(name, Client{options_.burst, now, 0});
  Client& client = it->second;
  client.tokens =
      std::min(options_.burst, client.tokens + absl::ToDoubleSeconds(now - client.filled) *
                                                   options_.calls_a_second);
  client.filled = now;
  return client;
}

bool AccessGuard::MayTry(const std::string& host) {
  absl::MutexLock lock(&mu_);
  return !clients_.contains(host) || Refill(host).tokens >= 1;
}

absl::Status AccessGuard::Spend(const std::string& name) {
  absl::MutexLock lock(&mu_);
  Client& client = Refill(name);
  if (client.calls >= options_.calls_at_once) {
    return TooMany(absl::StrCat("this client has ", client.calls, " calls that run, the most"),
                   "end some of them, or wait until they end");
  }
  if (client.tokens < 1) {
    return TooMany(
        absl::StrCat("this client calls more than ", options_.calls_a_second, " times a second"),
        "call less often; in a second a call is answered again");
  }
  client.tokens -= 1;
  return absl::OkStatus();
}

}  // namespace seer::access
