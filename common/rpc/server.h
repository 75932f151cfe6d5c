// A gRPC server as each of our processes runs it: TLS, a guard before every call, health v1,
// reflection, limits, RPC metrics, drain on stop. Start binds and serves; the destructor drains for
// `drain` and then cancels. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/metrics/registry.h"
#include "common/rpc/guard.h"
#include "common/rpc/security.h"

namespace grpc {
class Channel;
class Service;
class Server;
}  // namespace grpc

namespace seer {

struct RpcServerOptions {
  std::string address = "127.0.0.1:0";  // host:port; port 0: any
  int max_request_bytes = 16 << 20;     // of one message from a client, whatever its method
  int max_message_bytes = 512 << 20;    // of one message to a client
  absl::Duration drain = absl::Seconds(5);
  SecurityOptions security;
  CallGuard* guard = nullptr;  // of all calls but health and reflection; must outlive the server
  // Of one connection: to be through with TLS and HTTP/2's greeting; without a call; and in all,
  // after which new calls go to a new one. What is left of it then, streams too, ends after
  // `grace`.
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration max_idle = absl::Minutes(10);
  absl::Duration max_age = absl::Hours(1);
  absl::Duration max_age_grace = absl::Hours(24);
  int max_streams = 1000;  // calls at a time of one connection; more wait at the client
};

// FAILED_PRECONDITION with INSECURE_BIND at `flag`: other machines reach `address`, HOST:PORT, and
// there is no TLS, or callers are not asked who they are, and it is not said that this is meant.
absl::Status CheckExposure(const std::string& address, const SecurityOptions& security,
                           bool authenticates, const std::string& flag);

// A service and its full name, which a guard needs to know.
struct ServedService {
  ServedService(grpc::Service* served) : service(served) {}  // NOLINT: one without a guard
  ServedService(grpc::Service* served, const char* full_name, const char* streamed_method)
      : service(served), name(full_name), streamed(streamed_method) {}
  grpc::Service* service;
  const char* name = nullptr;
  const char* streamed = "";  // as MakeGuardedService
};
// Served<v1::Jobs>(service)
template <typename Api>
ServedService Served(grpc::Service& service, const char* streamed = "") {
  return {&service, Api::service_full_name(), streamed};
}

class RpcServer {
 public:
  // The services must outlive the server.
  // ALREADY_EXISTS with PORT_IN_USE: names the port and how to choose another. FAILED_PRECONDITION
  // with INSECURE_BIND: an address that other machines reach, without TLS or a guard. Errors of
  // MakeServerCredentials.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const RpcServerOptions& options, const std::vector<ServedService>& services,
      MetricsRegistry& metrics);
  virtual ~RpcServer() = default;
  virtual int port() const = 0;
  virtual std::string address() const = 0;  // host:port with the real port
  // To this server without a connection, for calls that this process hands on. Metadata and limits
  // are those of a connection.
  virtual std::shared_ptr<grpc::Channel> InProcess() = 0;
  // What health answers; SERVING from the start. False: clients of several servers call another.
  virtual void SetServing(bool serving) = 0;
  // Health NOT_SERVING, no new calls;
  // waits for those in flight up to the drain time, then cancels them.
  virtual void Stop() = 0;
};

}  // namespace seer
