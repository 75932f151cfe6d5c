// A coordinator in this process that asks everybody who they are, and callers of it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "common/rpc/channel.h"
#include "common/rpc/security.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/server.h"
#include "seer/v1/access.grpc.pb.h"
#include "seer/v1/jobs.grpc.pb.h"
#include "seer/v1/queues.grpc.pb.h"
#include "seer/v1/workers.grpc.pb.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace seer::testing {

class SecuredCluster : public ::testing::Test {
 protected:
  static constexpr char kBootstrap[] = "0123456789abcdef0123456789abcdef0123456789abcdef";

  SecuredCluster();
  // With certificates of `authority_`; the test may change `config` before.
  void Start();
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  // As a client that has `token` and trusts `authority_`.
  SecurityOptions Client(const std::string& token) const;
  std::shared_ptr<grpc::Channel> Dial(const SecurityOptions& options) const;
  // `call` gets a stub of Api on a channel with this token.
  template <typename Api, typename Request, typename Response>
  absl::StatusOr<Response> Call(const std::string& token,
                                grpc::Status (Api::Stub::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                                const Request& request) const {
    return CallOn<Api>(Dial(Client(token)), method, request);
  }
  template <typename Api, typename Request, typename Response>
  static absl::StatusOr<Response> CallOn(const std::shared_ptr<grpc::Channel>& channel,
                                         grpc::Status (Api::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                                         const Request& request) {
    const auto stub = Api::NewStub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    Response response;
    const absl::Status status = FromGrpc(((*stub).*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  // The secret of a new token; fails the test if it cannot be made.
  std::string Token(const std::string& name, const std::string& role, const std::string& queue = "",
                    const std::string& pool = "");
  absl::StatusOr<v1::Principal> WhoAmI(const SecurityOptions& options) const {
    return CallOn<v1::Access>(Dial(options), &v1::Access::Stub::Authenticate,
                              v1::AuthenticateRequest());
  }
  absl::StatusOr<v1::Job> Submit(const std::string& token, const std::string& queue,
                                 const std::string& pool = "cats",
                                 const std::string& request_id = "");
  std::vector<v1::AuditEntry> Audit(const v1::ListAuditEntriesRequest& request = {});

  TempDir dir_;
  CertificateAuthority authority_{dir_.path(), "ours"};
  coordinator::ServerConfig config_;
  std::unique_ptr<coordinator::CoordinatorServer> server_;
};

}  // namespace seer::testing
