#include "tests/integration/security/secured_cluster.h"

#include <fstream>
#include <utility>

#include "coordinator/services/pool_lookup.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {

SecuredCluster::SecuredCluster() {
  const CertificateFiles files = authority_.Issue("coordinator", {"IP:127.0.0.1", "DNS:localhost"});
  std::ofstream(dir_ / "bootstrap") << kBootstrap << "\n";
  config_.listen = "127.0.0.1:0";
  config_.database = dir_ / "coordinator.db";
  config_.storage = dir_ / "storage";
  config_.heartbeat = absl::Milliseconds(100);
  config_.lease = absl::Seconds(2);
  config_.security.certificate = files.certificate;
  config_.security.key = files.key;
  config_.security.refresh = absl::Seconds(1);
  config_.authenticate = true;
  config_.bootstrap_token_file = dir_ / "bootstrap";
}

void SecuredCluster::Start() {
  std::map<std::string, coordinator::PoolInfo> pools = {{"cats", {3, 100, 0}},
                                                        {"dogs", {1, 50, 0}}};
  auto server = coordinator::CoordinatorServer::Start(
      config_, std::make_unique<coordinator::FakePoolLookup>(std::move(pools)));
  ASSERT_OK(server);
  server_ = *std::move(server);
}

SecurityOptions SecuredCluster::Client(const std::string& token) const {
  SecurityOptions options;
  options.token = token;
  if (!config_.security.certificate.empty()) options.ca = authority_.file();
  return options;
}

std::shared_ptr<grpc::Channel> SecuredCluster::Dial(const SecurityOptions& options) const {
  const auto security = ClientSecurity::Open(options);
  EXPECT_OK(security);
  return MakeChannel({address()}, *security);
}

std::string SecuredCluster::Token(const std::string& name, const std::string& role,
                                  const std::string& queue, const std::string& pool) {
  v1::CreateTokenRequest request;
  request.mutable_token()->set_name(name);
  request.mutable_token()->set_role(role);
  request.mutable_token()->set_queue(queue);
  request.mutable_token()->set_pool(pool);
  const auto made = Call<v1::Access>(kBootstrap, &v1::Access::Stub::CreateToken, request);
  EXPECT_OK(made);
  return made.ok() ? made->secret() : "";
}

absl::StatusOr<v1::Job> SecuredCluster::Submit(const std::string& token, const std::string& queue,
                                               const std::string& pool,
                                               const std::string& request_id) {
  v1::CreateJobRequest request;
  request.set_request_id(request_id);
  v1::JobSpec& spec = *request.mutable_spec();
  spec.mutable_data()->set_pool(pool);
  spec.mutable_data()->set_global_batch(8);
  spec.mutable_optim()->set_steps(10);
  spec.mutable_model()->mutable_trunk()->set_preset("regnety_200mf");
  spec.mutable_scheduling()->set_queue(queue);
  return Call<v1::Jobs>(token, &v1::Jobs::Stub::CreateJob, request);
}

std::vector<v1::AuditEntry> SecuredCluster::Audit(const v1::ListAuditEntriesRequest& request) {
  const auto page = Call<v1::Access>(kBootstrap, &v1::Access::Stub::ListAuditEntries, request);
  EXPECT_OK(page);
  if (!page.ok()) return {};
  return {page->entries().begin(), page->entries().end()};
}

}  // namespace seer::testing
