// Channels to our servers: keep-alive, message limits,
// fast reconnect, and unary retries with full jitter.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace seer {

class ClientSecurity;

// "host:port,host:port" -> its addresses, without spaces around them and empty ones.
std::vector<std::string> SplitAddresses(const std::string& addresses);

// One address "host:port", or several: round robin over those that answer and whose health is
// SERVING, so that of several coordinators the one that leads is called. Names of several are
// resolved here, once. Does not wait for the connection. `security`: nullptr: plain, without a
// token.
std::shared_ptr<grpc::Channel> MakeChannel(
    const std::vector<std::string>& addresses,
    const std::shared_ptr<const ClientSecurity>& security = nullptr);

// The end of a call of `what` ("the coordinator"): one that it did not give gets
// SERVICE_UNREACHABLE, with what to look at.
absl::Status ReachStatus(const std::string& what, const absl::Status& status);

struct RetryOptions {
  int attempts = 5;
  // Doubles each time; the wait is uniform in [0, backoff).
  absl::Duration first_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
  absl::Duration deadline = absl::Seconds(10);  // of one attempt
};

// Runs an idempotent unary call, again after UNAVAILABLE, but not if the server gave that a reason
// other than NOT_LEADER. `call` makes the call with the context it
// is given. The status of a server that could not be reached carries SERVICE_UNREACHABLE.
absl::Status CallWithRetry(const RetryOptions& options, const std::string& what,
                           const std::function<absl::Status(grpc::ClientContext&)>& call);

}  // namespace seer
