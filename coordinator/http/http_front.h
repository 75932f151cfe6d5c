// What the coordinator serves on its HTTP port: the dashboard at "/", the gateway below "/v1/", the
// OpenAPI document at "/openapi.json" and the descriptors at "/seer.protoset". Thread-safe. Owns
// the server; the destructor hangs up on everybody and joins its threads.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/http/gateway.h"

namespace seer::coordinator {

struct HttpFrontOptions {
  HttpServerOptions server;
  // Names by which browsers reach the server, besides its own. On a loopback address only these and
  // the loopback's are served: a page of another site, whose name leads there, is refused.
  std::vector<std::string> hosts;
};

class HttpFront {
 public:
  // Errors as HttpServer::Start.
  static absl::StatusOr<std::unique_ptr<HttpFront>> Start(
      HttpFrontOptions options, std::shared_ptr<grpc::Channel> coordinator,
      std::shared_ptr<grpc::Channel> dataservice);
  ~HttpFront();
  int port() const { return server_->port(); }

 private:
  HttpFront(const HttpFrontOptions& options, std::shared_ptr<grpc::Channel> coordinator,
            std::shared_ptr<grpc::Channel> dataservice);
  void Handle(std::shared_ptr<HttpExchange> exchange);
  // PERMISSION_DENIED with FOREIGN_ORIGIN: for a page of another site.
  absl::Status CheckOrigin(const HttpCallerRequest& request) const;

  const bool loopback_;
  std::set<std::string> hosts_;
  Gateway gateway_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace seer::coordinator
