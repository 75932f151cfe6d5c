// The one place where a call is let in or refused: who it is from, their role, what it is about,
// its size, and how much its sender calls. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/access/authenticator.h"
#include "common/access/methods.h"
#include "common/base/clock.h"
#include "common/rpc/guard.h"

namespace seer::access {

// A call that people made and that changes something, or that would have.
struct AuditEntry {
  absl::Time time;
  std::string who;         // Principal::name
  std::string method;      // "seer.v1.Jobs/CancelJob"
  std::string resource;    // as the request names it; empty: it names none
  std::string request_id;  // empty: none
  std::string code;        // "OK", "PERMISSION_DENIED"
  std::string reason;      // docs/errors.md; empty: none
  std::string peer;        // "ipv4:10.0.0.7:41234"
};

// A line of the log.
void LogAuditEntry(const AuditEntry& entry);

struct GuardOptions {
  // Of one client, that is one principal at one host; agents and trainers may call as often as they
  // like. The same for tokens of one host that are refused.
  double calls_a_second = 100;
  double burst = 500;
  int calls_at_once = 256;
  size_t clients = 100'000;  // that are remembered; beyond it those that rest are forgotten
};

class AccessGuard final : public CallGuard {
 public:
  // What lies where: of a name that About::kJob, kSchedule or kSweep goes with. May block.
  using Find = std::function<absl::StatusOr<Target>(About about, const std::string& name)>;
  // Before the call, which came with `token`, is answered.
  using Audit = std::function<void(const AuditEntry& entry, const std::string& token)>;

  // All must outlive it.
  AccessGuard(Authenticator& authenticator, Find find, Audit audit, Clock& clock,
              GuardOptions options = {})
      : authenticator_(authenticator),
        find_(std::move(find)),
        audit_(std::move(audit)),
        clock_(clock),
        options_(options) {}

  // UNAUTHENTICATED: as TokenOf and Authenticator. PERMISSION_DENIED with ROLE_TOO_LOW or
  // OUT_OF_SCOPE. RESOURCE_EXHAUSTED with TOO_MANY_CALLS. INVALID_ARGUMENT with REQUEST_TOO_LARGE.
  absl::Status Begin(const IncomingCall& call) override ABSL_LOCKS_EXCLUDED(mu_);
  // PERMISSION_DENIED and INVALID_ARGUMENT as Begin.
  absl::Status CheckRead(const IncomingCall& call) override;
  void Answered(const grpc::ServerContextBase& context, const grpc::Status& status) override
      ABSL_LOCKS_EXCLUDED(mu_);
  void End(const grpc::ServerContextBase& context) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Client {
    double tokens = 0;
    absl::Duration filled;  // steady time
    int calls = 0;          // that run
  };
  struct Call {
    std::string client;
    bool audited = false;
    AuditEntry entry;
    std::string token;  // of what is audited
  };
  absl::Status Authorize(const Principal& principal, const MethodRule& rule,
                         const IncomingCall& call) const;
  // What a request is about: all of it must be covered.
  std::vector<Target> TargetsOf(const MethodRule& rule, const IncomingCall& call) const;
  absl::Status Spend(const std::string& client) ABSL_LOCKS_EXCLUDED(mu_);
  bool MayTry(const std::string& host) ABSL_LOCKS_EXCLUDED(mu_);
  Client& Refill(const std::string& client) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Authenticator& authenticator_;
  const Find find_;
  const Audit audit_;
  Clock& clock_;
  const GuardOptions options_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, Client> clients_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<const void*, Call> calls_ ABSL_GUARDED_BY(mu_);  // by context
};

}  // namespace seer::access
