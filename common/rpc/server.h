// A gRPC server as each of our processes runs it: health v1, reflection, RPC metrics, drain on
// stop. Start binds and serves; the destructor drains for `drain` and then cancels. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/metrics/registry.h"

namespace grpc {
class Service;
class Server;
}  // namespace grpc

namespace seer {

struct RpcServerOptions {
  std::string address = "127.0.0.1:0";  // host:port; port 0: any
  int max_message_bytes = 512 << 20;
  absl::Duration drain = absl::Seconds(5);
};

class RpcServer {
 public:
  // The services must outlive the server.
  // ALREADY_EXISTS with PORT_IN_USE: names the port and how to choose another.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const RpcServerOptions& options, const std::vector<grpc::Service*>& services,
      MetricsRegistry& metrics);
  virtual ~RpcServer() = default;
  virtual int port() const = 0;
  virtual std::string address() const = 0;  // host:port with the real port
  // What health answers; SERVING from the start. False: clients of several servers call another.
  virtual void SetServing(bool serving) = 0;
  // Health NOT_SERVING, no new calls;
  // waits for those in flight up to the drain time, then cancels them.
  virtual void Stop() = 0;
};

}  // namespace seer
