#include "common/rpc/channel.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/address.h"
#include "common/base/error.h"
#include "common/rpc/security.h"
#include "common/rpc/tracing.h"
#include "common/trace/tracer.h"

namespace seer {
namespace {

constexpr int kMaxMessageBytes = 512 << 20;

bool IsIpv4(const std::string& host) {
  in_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

// "localhost:7080" -> "127.0.0.1:7080"; what cannot be resolved stays, and the call says so.
std::string Resolved(const std::string& address) {
  const auto split = SplitAddress(address);
  if (!split || IsIpv4(split->host)) return address;
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(split->host.c_str(), nullptr, &hints, &found) != 0 || found == nullptr)
    return address;
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr, text, sizeof(text));
  freeaddrinfo(found);
  return AddressText(text, split->port);
}

// Puts the token into every call.
class TokenSender final : public grpc::experimental::Interceptor {
 public:
  explicit TokenSender(const ClientSecurity& security) : security_(security) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      if (const std::string token = security_.token(); !token.empty())
        batch->GetSendInitialMetadata()->emplace("authorization", absl::StrCat("Bearer ", token));
    }
    batch->Proceed();
  }

 private:
  const ClientSecurity& security_;  // the factory's
};
class TokenSenders final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenSenders(std::shared_ptr<const ClientSecurity> security)
      : security_(std::move(security)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenSender(*security_);
  }

 private:
  const std::shared_ptr<const ClientSecurity> security_;
};

// Not of the call itself, or of a coordinator that another one, or soon this one, answers for.
bool MayWorkAgain(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable &&
         (!GetErrorDetail(status) || HasReason(status, reason::kNotLeader));
}

}  // namespace

std::vector<std::string> SplitAddresses(const std::string& addresses) {
  std::vector<std::string> split;
  for (absl::string_view address : absl::StrSplit(addresses, ',')) {
    address = absl::StripAsciiWhitespace(address);
    if (!address.empty()) split.emplace_back(address);
  }
  return split;
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::vector<std::string>& addresses,
                                           const std::shared_ptr<const ClientSecurity>& security) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // This is what bounds one attempt to connect, too:
  // a busy machine may need more than the back-off.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // One channel's back-off is not another's.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::string target = addresses.empty() ? "ipv4:0.0.0.0:0" : addresses.front();
  if (addresses.size() > 1) {
    std::vector<std::string> resolved;
    std::transform(addresses.begin(), addresses.end(), std::back_inserter(resolved), Resolved);
    target = absl::StrCat("ipv4:", absl::StrJoin(resolved, ","));
    arguments.SetLoadBalancingPolicyName("round_robin");
    arguments.SetServiceConfigJSON(R"({"healthCheckConfig": {"serviceName": ""}})");
  }
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (Tracing()) interceptors.push_back(TracedCalls(addresses));
  auto credentials = grpc::InsecureChannelCredentials();
  if (security != nullptr) {
    // What is said in the greeting of TLS; which certificates do is the credentials' to know.
    if (security->tls() && !addresses.empty())
      arguments.SetSslTargetNameOverride(HostOf(addresses.front()));
    credentials = security->Credentials(addresses);
    interceptors.push_back(std::make_unique<TokenSenders>(security));
  }
  if (interceptors.empty()) return grpc::CreateCustomChannel(target, credentials, arguments);
  return grpc::experimental::CreateCustomChannelWithInterceptors(target, credentials, arguments,
                                                                 std::move(interceptors));
}

absl::Status ReachStatus(const std::string& what, const absl::Status& status) {
  // A status with a detail was made by the server: it was reached.
  const bool unreachable = status.code() == absl::StatusCode::kUnavailable ||
                           status.code() == absl::StatusCode::kDeadlineExceeded;
  if (!unreachable || GetErrorDetail(status)) return status;
  return Error(status.code(), reason::kServiceUnreachable,
               absl::StrCat("cannot reach ", what, ": ", status.message()))
      .Hint(
          "check that it runs and that the address is right; if it speaks TLS, --tls-ca, and where "
          "it asks clients for a certificate, --tls-cert and --tls-key; `seer cluster up` starts a "
          "local cluster");
}

absl::Status CallWithRetry(const RetryOptions& options, const std::string& what,
                           const std::function<absl::Status(grpc::ClientContext&)>& call) {
  absl::BitGen random;
  absl::Duration backoff = options.first_backoff;
  absl::Status status;
  for (int attempt = 1;; ++attempt) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         absl::ToChronoMilliseconds(options.deadline));
    status = call(context);
    if (!MayWorkAgain(status) || attempt >= options.attempts) break;
    std::this_thread::sleep_for(
        absl::ToChronoMilliseconds(backoff * absl::Uniform(random, 0.0, 1.0)));
    backoff = std::min(backoff * 2, options.max_backoff);
  }
  return ReachStatus(what, status);
}

}  // namespace seer
