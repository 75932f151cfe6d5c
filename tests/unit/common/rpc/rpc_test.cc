// What every server of ours answers, and how errors travel.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/error.h"
#include "common/rpc/channel.h"
#include "common/rpc/resolve.h"
#include "common/rpc/server.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/workers.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using testing::FailsWith;

// Refuses to list workers the way a real service does, and blocks in GetWorker until the call ends.
class FakeWorkers final : public v1::Workers::Service {
 public:
  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest*,
                           v1::ListWorkersResponse*) override {
    ++lists;
    return ToGrpc(Error(absl::StatusCode::kFailedPrecondition, reason::kWrongJobState, "not now")
                      .Field("filter")
                      .Hint("try tomorrow")
                      .With("state", "QUEUED"));
  }
  // An error about what the client named, whatever that is.
  grpc::Status GetWorker(grpc::ServerContext*, const v1::GetWorkerRequest* request,
                         v1::Worker*) override {
    const std::string text = request->name() == "latin1" ? "caf\xe9" : request->name();
    Error error(absl::StatusCode::kNotFound, reason::kWorkerNotFound, "no worker " + text);
    for (int i = 0; i < 20; ++i) std::move(error).With(absl::StrCat("v", i, text), text);
    return ToGrpc(std::move(error).Field(text).Hint("look for " + text));
  }
  std::atomic<int> lists{0};
};

class RpcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(
        server_, RpcServer::Start({.drain = absl::Milliseconds(200)}, {&workers_}, metrics_));
    channel_ = MakeChannel({server_->address()});
  }

  // One message each way through `method`, as bytes: what a client without our stubs does.
  std::string Call(const std::string& method, const std::string& request) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    grpc::CompletionQueue queue;
    const auto next = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    auto call = stub.PrepareCall(&context, method, &queue);
    call->StartCall(nullptr);
    EXPECT_TRUE(next());
    const grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
    EXPECT_TRUE(next());
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    std::string bytes;
    if (next()) {
      std::vector<grpc::Slice> slices;
      EXPECT_TRUE(answer.Dump(&slices).ok());
      for (const grpc::Slice& s : slices) {
        bytes.append(reinterpret_cast<const char*>(s.begin()), s.size());
      }
    }
    context.TryCancel();
    grpc::Status status;
    call->Finish(&status, nullptr);
    next();
    return bytes;
  }

  MetricsRegistry metrics_;
  FakeWorkers workers_;
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(RpcTest, HealthSaysServing) {
  // HealthCheckResponse{status: SERVING}
  EXPECT_EQ(Call("/grpc.health.v1.Health/Check", ""), std::string("\x08\x01"));
}

TEST_F(RpcTest, ReflectionListsTheServices) {
  // ServerReflectionRequest{list_services: ""}
  const std::string answer = Call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                  std::string("\x3a\x00", 2));
  for (const char* service : {"seer.v1.Workers", "grpc.health.v1.Health"}) {
    EXPECT_TRUE(absl::StrContains(answer, service)) << service;
  }
}

TEST_F(RpcTest, AnErrorArrivesWithReasonFieldHintAndVariables) {
  const auto stub = v1::Workers::NewStub(channel_);
  grpc::ClientContext context;
  v1::ListWorkersResponse response;
  const absl::Status status = FromGrpc(stub->ListWorkers(&context, {}, &response));
  EXPECT_THAT(status,
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kWrongJobState, "not now"));
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field, "filter");
  EXPECT_EQ(detail->hint, "try tomorrow");
  EXPECT_EQ(detail->metadata.at("state"), "QUEUED");
  server_->Stop();  // a call is counted a moment after its status is sent
  EXPECT_TRUE(absl::StrContains(
      metrics_.Render(),
      "seer_rpc_requests_total{code=\"FAILED_PRECONDITION\",method=\"seer.v1.Workers/ListWorkers\"}"
      " 1"))
      << metrics_.Render();
}

TEST_F(RpcTest, AnErrorWithBytesThatAreNotUtf8OrWithVeryLongTextArrivesWithItsReason) {
  std::string euros;
  while (euros.size() < 30'000) euros += "\xe2\x82\xac";
  for (const std::string& name : {std::string("latin1"), std::string(30'000, 'x'), euros}) {
    const auto stub = v1::Workers::NewStub(channel_);
    grpc::ClientContext context;
    v1::GetWorkerRequest request;
    request.set_name(name);
    v1::Worker worker;
    const absl::Status status = FromGrpc(stub->GetWorker(&context, request, &worker));
    EXPECT_THAT(status,
                FailsWith(absl::StatusCode::kNotFound, reason::kWorkerNotFound, "no worker "));
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value());
    EXPECT_TRUE(absl::StartsWith(detail->hint, "look for "));
    EXPECT_FALSE(detail->field.empty());
    EXPECT_FALSE(detail->metadata.empty());
  }
}

// As of several coordinators the one that leads.
TEST_F(RpcTest, OfSeveralServersThoseAreCalledWhoseHealthIsServing) {
  FakeWorkers others;
  MetricsRegistry metrics;
  ASSERT_OK_AND_ASSIGN(const auto second,
                       RpcServer::Start({.drain = absl::Milliseconds(200)}, {&others}, metrics));
  second->SetServing(false);
  const auto stub = v1::Workers::NewStub(MakeChannel({server_->address(), second->address()}));
  const auto list = [&] {
    return CallWithRetry({.attempts = 100}, "the coordinator", [&](grpc::ClientContext& context) {
      v1::ListWorkersResponse response;
      return FromGrpc(stub->ListWorkers(&context, {}, &response));
    });
  };
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(HasReason(list(), reason::kWrongJobState));
  EXPECT_EQ(workers_.lists, 20);
  EXPECT_EQ(others.lists, 0);
  server_->SetServing(false);
  second->SetServing(true);
  const absl::Time deadline = absl::Now() + absl::Seconds(30);  // until the channel hears of it
  while (others.lists == 0 && absl::Now() < deadline) list().IgnoreError();
  EXPECT_GT(others.lists, 0);
}

TEST(Channel, OneThatStandsByIsAskedAgainAndOtherReasonsAreNot) {
  int calls = 0;
  const auto answer = [&](absl::string_view reason) {
    calls = 0;
    return CallWithRetry({.attempts = 3, .first_backoff = absl::Milliseconds(1)}, "the coordinator",
                         [&](grpc::ClientContext&) -> absl::Status {
                           ++calls;
                           return Error(absl::StatusCode::kUnavailable, reason, "not now");
                         });
  };
  EXPECT_THAT(answer(reason::kNotLeader),
              FailsWith(absl::StatusCode::kUnavailable, reason::kNotLeader, "not now"));
  EXPECT_EQ(calls, 3);
  EXPECT_THAT(answer(reason::kStorageFailed),
              FailsWith(absl::StatusCode::kUnavailable, reason::kStorageFailed, "not now"));
  EXPECT_EQ(calls, 1);
}

TEST(Channel, AddressesAreSplitAtCommas) {
  EXPECT_EQ(SplitAddresses("a:1"), std::vector<std::string>{"a:1"});
  EXPECT_EQ(SplitAddresses(" a:1, b:2,,"), (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_TRUE(SplitAddresses("").empty());
}

TEST_F(RpcTest, ASecondServerOnThePortIsTold) {
  EXPECT_THAT(RpcServer::Start({.address = server_->address()}, {}, metrics_),
              FailsWith(absl::StatusCode::kAlreadyExists, reason::kPortInUse,
                        absl::StrCat(server_->port())));
}

TEST_F(RpcTest, WhatIsNoAddressIsRefused) {
  for (const char* address : {"", "localhost", "127.0.0.1:port", "127.0.0.1:70000", "1.2.3.4:-1"}) {
    EXPECT_THAT(RpcServer::Start({.address = address}, {}, metrics_),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, address));
  }
}

TEST_F(RpcTest, AServerThatIsNotThereIsNamedAfterTheRetries) {
  const std::string address = server_->address();
  server_.reset();
  const auto stub = v1::Workers::NewStub(MakeChannel({address}));
  int calls = 0;
  const absl::Status status =
      CallWithRetry({.attempts = 3, .first_backoff = absl::Milliseconds(1)}, "the coordinator",
                    [&](grpc::ClientContext& context) {
                      ++calls;
                      v1::ListWorkersResponse response;
                      return FromGrpc(stub->ListWorkers(&context, {}, &response));
                    });
  EXPECT_THAT(status, FailsWith(absl::StatusCode::kUnavailable, reason::kServiceUnreachable,
                                "cannot reach the coordinator"));
  EXPECT_EQ(calls, 3);
}

TEST(ResolveAddresses, GivesEveryAddressOnceAndLeavesWhatItCannotResolve) {
  EXPECT_EQ(ResolveAddresses({"127.0.0.2:80", "127.0.0.1:80", "127.0.0.2:80", "[::1]:5"}),
            (std::vector<std::string>{"127.0.0.2:80", "127.0.0.1:80", "[::1]:5"}));
  const std::vector<std::string> odd = {"nowhere.invalid:80", "no-port", "host:port", ""};
  EXPECT_EQ(ResolveAddresses(odd), odd);
  const std::vector<std::string> local = ResolveAddresses({"localhost:7", "127.0.0.1:7"});
  EXPECT_EQ(std::count(local.begin(), local.end(), "127.0.0.1:7"), 1);
}

}  // namespace
}  // namespace seer
