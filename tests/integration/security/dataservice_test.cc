// A data service that asks a coordinator who its callers are.
#include <gmock/gmock.h>

#include "dataservice/server.h"
#include "seer/internal/v1/audit.grpc.pb.h"
#include "seer/v1/batches.grpc.pb.h"
#include "seer/v1/pools.grpc.pb.h"
#include "tests/integration/security/secured_cluster.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {
namespace {

using absl::StatusCode;

class SecuredDataService : public SecuredCluster {
 protected:
  void SetUp() override {
    Start();
    data_config_.listen = "127.0.0.1:0";
    data_config_.pools = dir_ / "pools";
    data_config_.threads = 1;
    data_config_.security = config_.security;
    data_config_.security.ca = authority_.file();
    data_config_.authenticate = true;
    data_config_.coordinators = address();
    auto data = dataservice::DataServer::Start(data_config_);
    ASSERT_OK(data);
    data_ = *std::move(data);
  }
  template <typename Api, typename Request, typename Response>
  absl::Status Ask(const std::string& token,
                   grpc::Status (Api::Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                   const Request& request) const {
    const auto security = ClientSecurity::Open(Client(token));
    return CallOn<Api>(MakeChannel({"127.0.0.1:" + std::to_string(data_->port())}, *security),
                       method, request)
        .status();
  }
  absl::Status Look(const std::string& token, const std::string& pool) const {
    v1::GetPoolRequest request;
    request.set_name("pools/" + pool);
    return Ask<v1::Pools>(token, &v1::Pools::Stub::GetPool, request);
  }
  absl::Status Stream(const std::string& token, const std::string& pool = "none") const {
    const auto security = ClientSecurity::Open(Client(token));
    const auto stub = v1::Batches::NewStub(
        MakeChannel({"127.0.0.1:" + std::to_string(data_->port())}, *security));
    grpc::ClientContext context;
    v1::StreamBatchesRequest request;
    request.set_pool("pools/" + pool);
    const auto stream = stub->StreamBatches(&context, request);
    v1::BatchMessage message;
    while (stream->Read(&message)) {
    }
    return FromGrpc(stream->Finish());
  }
  absl::Status Make(const std::string& token, const std::string& pool) const {
    v1::CreatePoolRequest request;
    request.set_pool_id(pool);
    return Ask<v1::Pools>(token, &v1::Pools::Stub::CreatePool, request);
  }

  dataservice::ServerConfig data_config_;
  std::unique_ptr<dataservice::DataServer> data_;
};

TEST_F(SecuredDataService, KnowsTheTokensOfItsCoordinator) {
  const std::string viewer = Token("v", "viewer"), worker = Token("w", "worker"),
                    cats = Token("c", "operator", "", "cats");
  EXPECT_THAT(Look("", "cats"), FailsWith(StatusCode::kUnauthenticated, reason::kTokenMissing, ""));
  EXPECT_THAT(Look("seer_made-up", "cats"),
              FailsWith(StatusCode::kUnauthenticated, reason::kTokenInvalid, ""));
  const auto low = FailsWith(StatusCode::kPermissionDenied, reason::kRoleTooLow, "");
  EXPECT_THAT(Make(viewer, "cats"), low);
  EXPECT_THAT(Make(worker, "cats"), low);
  EXPECT_THAT(Make(cats, "dogs"),
              FailsWith(StatusCode::kPermissionDenied, reason::kOutOfScope, "pool dogs"));
  EXPECT_OK(Make(cats, "cats"));
  EXPECT_OK(Look(viewer, "cats"));
  EXPECT_OK(Look(worker, "cats"));
  EXPECT_OK(
      Ask<v1::Batches>(worker, &v1::Batches::Stub::GetReplicaLoad, v1::GetReplicaLoadRequest()));
}

// Its handler reads the request by itself.
TEST_F(SecuredDataService, GuardsTheStreamOfBatches) {
  EXPECT_THAT(Stream(""), FailsWith(StatusCode::kUnauthenticated, reason::kTokenMissing, ""));
  EXPECT_THAT(Stream("seer_made-up"),
              FailsWith(StatusCode::kUnauthenticated, reason::kTokenInvalid, ""));
  const absl::Status served = Stream(Token("w", "worker"));
  EXPECT_THAT(served.code(), ::testing::AnyOf(StatusCode::kNotFound, StatusCode::kInvalidArgument))
      << served;
}

// Its batches are what a token that is bound to another pool is not for.
TEST_F(SecuredDataService, AStreamOfBatchesIsOfAPoolThatTheTokenIsBoundTo) {
  for (const auto& [name, role] : {std::pair("v", "viewer"), std::pair("s", "submitter")}) {
    const std::string cats = Token(name, role, "", "cats");
    EXPECT_THAT(Stream(cats, "dogs"),
                FailsWith(StatusCode::kPermissionDenied, reason::kOutOfScope, "pool dogs"))
        << role;
    EXPECT_THAT(Stream(cats, "cats").code(),
                ::testing::AnyOf(StatusCode::kNotFound, StatusCode::kInvalidArgument))
        << role;
  }
}

TEST_F(SecuredDataService, WhatChangesThereIsInTheCoordinatorsAudit) {
  const std::string viewer = Token("v", "viewer"), cats = Token("c", "operator", "", "cats");
  EXPECT_OK(Make(cats, "cats"));
  EXPECT_FALSE(Make(viewer, "dogs").ok());
  EXPECT_OK(Look(viewer, "cats"));
  const auto entries = Audit();
  ASSERT_GE(entries.size(), 4u);  // the tokens' are the first two
  EXPECT_EQ(entries[0].method(), "seer.v1.Pools/CreatePool");
  EXPECT_EQ(entries[0].principal(), "tokens/v");
  EXPECT_EQ(entries[0].resource(), "dogs");
  EXPECT_EQ(entries[0].code(), "PERMISSION_DENIED");
  EXPECT_EQ(entries[0].reason(), reason::kRoleTooLow);
  EXPECT_EQ(entries[1].principal(), "tokens/c");
  EXPECT_EQ(entries[1].resource(), "cats");
  EXPECT_EQ(entries[1].code(), "OK");
  EXPECT_THAT(entries[1].peer(), ::testing::StartsWith("ipv4:127.0.0.1:"));
  EXPECT_EQ(entries[2].method(), "seer.v1.Access/CreateToken");
}

TEST_F(SecuredDataService, NobodyIsStoppedWhileTheAuditCannotBeToldToACoordinator) {
  const std::string cats = Token("c", "operator", "", "cats");
  EXPECT_EQ(Look(cats, "cats").code(), StatusCode::kNotFound);
  server_.reset();
  EXPECT_OK(Make(cats, "cats")) << "it is known from before, and the log has the line";
}

// A coordinator takes only what it does not see itself, and only of whom the token speaks for.
TEST_F(SecuredDataService, EntriesCannotBeMadeUpForOthers) {
  const std::string viewer = Token("v", "viewer");
  internal::v1::RecordEntryRequest request;
  request.mutable_entry()->set_method("seer.v1.Jobs/CancelJob");
  const auto record = [&](const std::string& token) {
    return Call<internal::v1::Audits>(token, &internal::v1::Audits::Stub::RecordEntry, request)
        .status();
  };
  EXPECT_THAT(record(viewer), FailsWith(StatusCode::kInvalidArgument, reason::kInvalidArgument,
                                        "changes nothing at a data service"));
  request.mutable_entry()->set_method("seer.v1.Pools/GetPool");
  EXPECT_FALSE(record(viewer).ok());
  request.mutable_entry()->set_method("seer.v1.Pools/CreatePool");
  EXPECT_FALSE(record("").ok());
  request.mutable_entry()->set_principal("bootstrap");
  request.mutable_entry()->mutable_create_time()->set_seconds(int64_t{1} << 36);
  EXPECT_OK(record(viewer));
  const auto entries = Audit();
  ASSERT_FALSE(entries.empty());
  EXPECT_EQ(entries[0].principal(), "tokens/v");
  EXPECT_LE(entries[0].create_time().seconds(), absl::ToUnixSeconds(absl::Now()));
}

TEST_F(SecuredDataService, NeedsACoordinatorToAsk) {
  data_config_.coordinators = "";
  EXPECT_THAT(dataservice::DataServer::Start(data_config_).status(),
              FailsWith(StatusCode::kInvalidArgument, reason::kMissingField, "who knows them"));
}

// The coordinator looks pools up with a token of its own making.
TEST_F(SecuredDataService, AnswersTheCoordinatorItself) {
  ASSERT_OK(Make(kBootstrap, "empty"));
  server_.reset();
  config_.security.ca = authority_.file();
  config_.dataservices = {"127.0.0.1:" + std::to_string(data_->port())};
  config_.listen = data_config_.coordinators;
  auto server = coordinator::CoordinatorServer::Start(config_);
  ASSERT_OK(server);
  server_ = *std::move(server);
  EXPECT_THAT(Submit(kBootstrap, "default", "empty").status(),
              FailsWith(StatusCode::kFailedPrecondition, reason::kPoolEmpty, ""));
}

}  // namespace
}  // namespace seer::testing
