#include "common/rpc/tracing.h"

#include <grpcpp/grpcpp.h>

#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/base/address.h"
#include "common/trace/tracer.h"

namespace seer {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

// "/seer.v1.Jobs/CreateJob" -> "seer.v1.Jobs/CreateJob"
absl::string_view MethodName(const char* path) {
  return absl::StripPrefix(path == nullptr ? "" : path, "/");
}

void Describe(Span& span, absl::string_view method) {
  if (!span.recording()) return;
  const size_t slash = method.rfind('/');
  span.Set("rpc.system", "grpc");
  span.Set("rpc.service", std::string(method.substr(0, slash)));
  if (slash != absl::string_view::npos)
    span.Set("rpc.method", std::string(method.substr(slash + 1)));
}

void End(Span& span, const grpc::Status& status, bool failed) {
  if (!span.recording()) return;
  span.Set("rpc.grpc.status_code", static_cast<int64_t>(status.error_code()));
  if (failed) span.Fail(status.error_message());
  span.End();
}

// Other errors a server answers with are its caller's.
bool ServersFault(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    default:
      return false;
  }
}

class TracedCall final : public grpc::experimental::Interceptor {
 public:
  TracedCall(Span span, TraceContext context) : span_(std::move(span)), context_(context) {}
  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      auto& metadata = *batch->GetSendInitialMetadata();
      // What a caller hands on of another one's stays.
      if (metadata.count(kTraceparent) == 0)
        metadata.emplace(kTraceparent, FormatTraceparent(context_));
    }
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
      const grpc::Status& status = *batch->GetRecvStatus();
      // Hanging up is how a client ends a stream that has no end.
      End(span_, status, !status.ok() && status.error_code() != grpc::StatusCode::CANCELLED);
    }
    batch->Proceed();
  }

 private:
  Span span_;  // ends with the call at the latest
  const TraceContext context_;
};

class TracedCallFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TracedCallFactory(const std::vector<std::string>& addresses) {
    if (addresses.size() != 1) return;  // it is not known here which one is called
    if (const auto address = SplitAddress(addresses.front())) {
      host_ = address->host;
      port_ = address->port;
    }
  }
  // On the thread that makes the call.
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override {
    if (!CurrentTrace().valid()) return new TracedCall(Span(), UnsampledTrace());
    const absl::string_view method = MethodName(info->method());
    Span span = Span::Begin(method, SpanKind::kClient, CurrentTrace());
    Describe(span, method);
    if (!host_.empty()) span.Set("server.address", host_);
    if (port_ > 0) span.Set("server.port", port_);
    const TraceContext context = span.context();
    return new TracedCall(std::move(span), context);
  }

 private:
  std::string host_;  // empty: not known
  int64_t port_ = 0;
};

class TracedHandler final : public grpc::experimental::Interceptor {
 public:
  TracedHandler(std::string method, grpc::ServerContextBase* context)
      : method_(std::move(method)),
        context_(context),
        synchronous_(dynamic_cast<grpc::ServerContext*>(context) != nullptr) {}
  ~TracedHandler() override { Leave(); }
  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA))
      Begin();
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = batch->GetSendStatus();
      End(span_, status, ServersFault(status.error_code()));
      Leave();
    }
    batch->Proceed();
  }

 private:
  void Begin() {
    TraceContext parent;
    const auto& metadata = context_->client_metadata();
    if (const auto it = metadata.find(kTraceparent); it != metadata.end())
      parent = TraceContextOf(absl::string_view(it->second.data(), it->second.size()));
    const bool again_and_again =
        absl::StartsWith(method_, "seer.internal.") || absl::StartsWith(method_, "grpc.");
    if (!parent.valid() && again_and_again) return;
    span_ = Span::Begin(method_, SpanKind::kServer, parent);
    Describe(span_, method_);
    // A handler that is not one of callbacks runs on this thread, until it has given its status.
    if (!synchronous_ || !span_.context().valid()) return;
    thread_ = std::this_thread::get_id();
    scope_.emplace(span_.context());
  }
  void Leave() {
    if (scope_ && thread_ == std::this_thread::get_id()) scope_.reset();
  }

  const std::string method_;
  grpc::ServerContextBase* const context_;
  const bool synchronous_;
  Span span_;  // of a call that ends without a status of ours, it ends with the call
  std::thread::id thread_;
  std::optional<WithinTrace> scope_;
};

class TracedHandlerFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new TracedHandler(std::string(MethodName(info->method())), info->server_context());
  }
};

}  // namespace

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> TracedCalls(
    const std::vector<std::string>& addresses) {
  return std::make_unique<TracedCallFactory>(addresses);
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> TracedHandlers() {
  return std::make_unique<TracedHandlerFactory>();
}

}  // namespace seer
