// Calls as spans, over a real server and real channels: every kind of service that we have.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <optional>

#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "common/rpc/status_grpc.h"
#include "common/trace/tracer.h"
#include "seer/internal/v1/agent.grpc.pb.h"
#include "seer/internal/v1/trainer.grpc.pb.h"
#include "seer/v1/jobs.grpc.pb.h"
#include "tests/support/span_list.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using ::testing::Contains;
using testing::SpanList;

// Notes the context of its handlers.
class Jobs final : public v1::Jobs::Service {
 public:
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::Job*) override {
    seen = CurrentTrace();
    if (request->name() == "gone") return {grpc::StatusCode::NOT_FOUND, "no such job"};
    if (request->name() == "broken") return {grpc::StatusCode::INTERNAL, "it broke"};
    return grpc::Status::OK;
  }
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::Job>* writer) override {
    seen = CurrentTrace();
    for (int i = 0; i < 3; ++i) writer->Write({});
    return grpc::Status::OK;
  }
  TraceContext seen;
};

class Agents final : public internal::v1::Agents::CallbackService {
 public:
  grpc::ServerBidiReactor<internal::v1::AgentMessage, internal::v1::CoordinatorMessage>* Connect(
      grpc::CallbackServerContext*) override {
    struct Reactor final
        : grpc::ServerBidiReactor<internal::v1::AgentMessage, internal::v1::CoordinatorMessage> {
      Reactor() { Finish(grpc::Status::OK); }
      void OnDone() override { delete this; }
    };
    seen = CurrentTrace();
    return new Reactor;
  }
  TraceContext seen;
};

class Trainers final : public internal::v1::Trainers::Service {
 public:
  grpc::Status ReportProgress(grpc::ServerContext*, const internal::v1::ReportProgressRequest*,
                              internal::v1::ReportProgressResponse*) override {
    return grpc::Status::OK;
  }
};

// Lets everybody in but "nobody".
class Guard final : public CallGuard {
 public:
  absl::Status Begin(const IncomingCall& call) override {
    const auto* request = dynamic_cast<const v1::GetJobRequest*>(call.request);
    return request != nullptr && request->name() == "nobody"
               ? absl::PermissionDeniedError("not you")
               : absl::OkStatus();
  }
  absl::Status CheckRead(const IncomingCall&) override { return absl::OkStatus(); }
  void Answered(const grpc::ServerContextBase&, const grpc::Status&) override {}
  void End(const grpc::ServerContextBase&) override {}
};

// With a guard, or without.
class TracingTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    RpcServerOptions options;
    options.drain = absl::Milliseconds(200);
    if (GetParam()) options.guard = &guard_;
    ASSERT_OK_AND_ASSIGN(
        server_, RpcServer::Start(options,
                                  {Served<v1::Jobs>(jobs_), Served<internal::v1::Agents>(agents_),
                                   Served<internal::v1::Trainers>(trainers_)},
                                  metrics_));
    Connect();
  }
  void Connect() { channel_ = MakeChannel({server_->address()}); }
  grpc::Status Get(const std::string& name = "", const std::string& traceparent = "") {
    grpc::ClientContext context;
    if (!traceparent.empty()) context.AddMetadata(kTraceparent, traceparent);
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    return v1::Jobs::NewStub(channel_)->GetJob(&context, request, &job);
  }
  // The client's span and the server's, which ends a moment later.
  static std::pair<SpanRecord, SpanRecord> Two(SpanList& spans) {
    std::vector<SpanRecord> all = spans.Take(2);
    EXPECT_EQ(all.size(), 2u);
    all.resize(2);
    if (all[0].kind != SpanKind::kClient) std::swap(all[0], all[1]);
    EXPECT_EQ(all[0].kind, SpanKind::kClient);
    EXPECT_EQ(all[1].kind, SpanKind::kServer);
    EXPECT_EQ(all[1].parent_span, all[0].context.span);
    EXPECT_EQ(all[0].name, all[1].name);
    return {all[0], all[1]};
  }

  MetricsRegistry metrics_;
  Guard guard_;
  Jobs jobs_;
  Agents agents_;
  Trainers trainers_;
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  const TraceContext outer_{1, 2, 3, true};
};
INSTANTIATE_TEST_SUITE_P(Both, TracingTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Guarded" : "Plain"; });

TEST_P(TracingTest, ACallIsASpanOnBothSidesAndItsHandlersContext) {
  SpanList spans;
  Connect();
  const WithinTrace within(outer_);
  ASSERT_TRUE(Get().ok());
  const auto [client, server] = Two(spans);
  EXPECT_EQ(client.name, "seer.v1.Jobs/GetJob");
  EXPECT_EQ(client.parent_span, outer_.span);
  EXPECT_EQ(server.context.trace_low, outer_.trace_low);
  EXPECT_EQ(jobs_.seen, server.context);
  for (const SpanRecord& span : {client, server}) {
    EXPECT_THAT(span.attributes, Contains(SpanAttribute{"rpc.system", "grpc"}));
    EXPECT_THAT(span.attributes, Contains(SpanAttribute{"rpc.service", "seer.v1.Jobs"}));
    EXPECT_THAT(span.attributes, Contains(SpanAttribute{"rpc.method", "GetJob"}));
    EXPECT_THAT(span.attributes, Contains(SpanAttribute{"rpc.grpc.status_code", 0}));
    EXPECT_FALSE(span.failed);
  }
  EXPECT_THAT(client.attributes, Contains(SpanAttribute{"server.address", "127.0.0.1"}));
  EXPECT_THAT(client.attributes, Contains(SpanAttribute{"server.port", server_->port()}));
}

TEST_P(TracingTest, AnErrorIsTheClientsAndTheServersOnlyIfItIsItsFault) {
  SpanList spans;
  Connect();
  const WithinTrace within(outer_);
  EXPECT_FALSE(Get("gone").ok());
  const auto [gone, not_found] = Two(spans);
  EXPECT_TRUE(gone.failed);
  EXPECT_EQ(gone.message, "no such job");
  EXPECT_FALSE(not_found.failed);
  EXPECT_THAT(not_found.attributes, Contains(SpanAttribute{"rpc.grpc.status_code", 5}));
  EXPECT_FALSE(Get("broken").ok());
  EXPECT_TRUE(Two(spans).second.failed);
}

TEST_P(TracingTest, AStreamIsOneSpan) {
  SpanList spans;
  Connect();
  const WithinTrace within(outer_);
  grpc::ClientContext context;
  const auto reader = v1::Jobs::NewStub(channel_)->WatchJob(&context, {});
  v1::Job job;
  int jobs = 0;
  while (reader->Read(&job)) ++jobs;
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(jobs, 3);
  const auto [client, server] = Two(spans);
  EXPECT_EQ(client.name, "seer.v1.Jobs/WatchJob");
  EXPECT_EQ(jobs_.seen, server.context);
  EXPECT_TRUE(spans.Take().empty());
}

TEST_P(TracingTest, AStreamBothWaysOfCallbacksIsOneSpanAndLeavesNoContextBehind) {
  SpanList spans;
  Connect();
  const WithinTrace within(outer_);
  grpc::ClientContext context;
  const auto stream = internal::v1::Agents::NewStub(channel_)->Connect(&context);
  internal::v1::CoordinatorMessage message;
  while (stream->Read(&message)) {
  }
  ASSERT_TRUE(stream->Finish().ok());
  const auto [client, server] = Two(spans);
  EXPECT_EQ(client.name, "seer.internal.v1.Agents/Connect");
  EXPECT_FALSE(agents_.seen.valid());
}

TEST_P(TracingTest, ACallThatIsCancelledEndsItsSpansAndIsNoFailure) {
  SpanList spans;
  Connect();
  const WithinTrace within(outer_);
  grpc::ClientContext context;
  const auto stream = internal::v1::Agents::NewStub(channel_)->Connect(&context);
  context.TryCancel();
  const grpc::Status status = stream->Finish();
  const std::vector<SpanRecord> all = spans.Take(1);
  ASSERT_FALSE(all.empty());
  for (const SpanRecord& span : all) {
    if (span.kind == SpanKind::kClient && status.error_code() == grpc::StatusCode::CANCELLED)
      EXPECT_FALSE(span.failed);
  }
}

TEST_P(TracingTest, WhatAProcessDoesOfItselfIsNoPartOfATrace) {
  SpanList spans;
  Connect();
  ASSERT_TRUE(Get().ok());  // this thread has no context
  EXPECT_TRUE(jobs_.seen.valid());
  EXPECT_FALSE(jobs_.seen.sampled);
  server_->Stop();
  EXPECT_TRUE(spans.Take().empty());
}

TEST_P(TracingTest, ACallWithoutATraceBeginsOneButNotThoseThatAreMadeAgainAndAgain) {
  SpanList spans;  // the channel is one of a process without tracing
  ASSERT_TRUE(Get().ok());
  const std::vector<SpanRecord> all = spans.Take(1);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].parent_span, 0u);
  EXPECT_EQ(all[0].kind, SpanKind::kServer);
  grpc::ClientContext context;
  internal::v1::ReportProgressResponse response;
  ASSERT_TRUE(
      internal::v1::Trainers::NewStub(channel_)->ReportProgress(&context, {}, &response).ok());
  server_->Stop();
  EXPECT_TRUE(spans.Take().empty());
}

TEST_P(TracingTest, AHeaderOfAnotherMakerIsTakenAndOneThatIsNoneIsPassedOver) {
  SpanList spans;
  ASSERT_TRUE(Get("", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").ok());
  const std::vector<SpanRecord> taken = spans.Take(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].context.trace_high, 0x4bf92f3577b34da6u);
  EXPECT_EQ(taken[0].parent_span, 0x00f067aa0ba902b7u);
  for (const char* header :
       {"rubbish", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"}) {
    ASSERT_TRUE(Get("", header).ok());
    const std::vector<SpanRecord> begun = spans.Take(1);
    ASSERT_EQ(begun.size(), 1u);
    EXPECT_EQ(begun[0].parent_span, 0u) << header;
  }
}

TEST_P(TracingTest, WithoutARecorderATracePassesThrough) {
  const std::string header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  ASSERT_TRUE(Get("", header).ok());
  EXPECT_EQ(FormatTraceparent(jobs_.seen), header);
  ASSERT_TRUE(Get().ok());
  EXPECT_FALSE(jobs_.seen.valid()) << "nothing is left of the call before";
}

TEST_P(TracingTest, ACallThatTheGuardRefusesHasItsSpan) {
  if (!GetParam()) GTEST_SKIP() << "there is no guard";
  SpanList spans;
  Connect();
  const WithinTrace within(outer_);
  EXPECT_EQ(Get("nobody").error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(Two(spans).second.attributes, Contains(SpanAttribute{"rpc.grpc.status_code", 7}));
}

}  // namespace
}  // namespace seer
