#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/callback_common.h>
#include <grpcpp/support/method_handler.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/sync_stream.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/guard.h"
#include "common/rpc/status_grpc.h"

namespace seer {
namespace {

using grpc::internal::MethodHandler;
using grpc::internal::RpcMethod;

// The handlers that a generated service registers: its own classes see them.
struct Registered : grpc::Service {
  static MethodHandler* HandlerOf(grpc::Service& service, int index) {
    return (service.*&Registered::GetHandler)(index);
  }
};

// A call with one request: the handler answers a refusal itself if it is told of it in the place of
// a request that could not be read.
class OneRequest final : public MethodHandler {
 public:
  OneRequest(MethodHandler& handler, std::string method, CallGuard& guard)
      : handler_(handler), method_(std::move(method)), guard_(guard) {}
  void RunHandler(const HandlerParameter& param) override {
    if (!param.status.ok()) return handler_.RunHandler(param);
    auto* const request = static_cast<google::protobuf::Message*>(param.request);
    const absl::Status allowed = guard_.Begin({method_, *param.server_context, request});
    if (allowed.ok()) {
      handler_.RunHandler(param);
      guard_.End(*param.server_context);
    } else {
      request->~Message();  // in the call's memory; handlers do so themselves with what they take
      handler_.RunHandler({param.call, param.server_context, nullptr, ToGrpc(allowed),
                           param.internal_data, param.call_requester});
    }
  }
  void* Deserialize(grpc_call* call, grpc_byte_buffer* bytes, grpc::Status* status,
                    void** data) override {
    return handler_.Deserialize(call, bytes, status, data);
  }

 private:
  MethodHandler& handler_;  // of the service
  const std::string method_;
  CallGuard& guard_;
};

class Refusal final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

// A stream both ways, without a thread of its own.
class Stream final : public MethodHandler {
 public:
  Stream(MethodHandler& handler, std::string method, CallGuard& guard)
      : handler_(handler), method_(std::move(method)), guard_(guard) {}
  void RunHandler(const HandlerParameter& param) override {
    const absl::Status allowed = guard_.Begin({method_, *param.server_context, nullptr});
    if (allowed.ok()) return handler_.RunHandler(param);
    grpc::internal::CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer> refuse(
        [&allowed](grpc::CallbackServerContext*) { return new Refusal(ToGrpc(allowed)); });
    refuse.RunHandler(param);
  }

 private:
  MethodHandler& handler_;
  const std::string method_;
  CallGuard& guard_;
};

// A call whose handler reads the one request from the stream itself.
class OneRequestRead final : public MethodHandler {
 public:
  OneRequestRead(MethodHandler& handler, std::string method, CallGuard& guard)
      : handler_(handler), method_(std::move(method)), guard_(guard) {}
  void RunHandler(const HandlerParameter& param) override {
    const absl::Status allowed = guard_.Begin({method_, *param.server_context, nullptr});
    if (allowed.ok()) return handler_.RunHandler(param);
    using Messages = grpc::ServerReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
    grpc::internal::TemplatedBidiStreamingHandler<Messages, false> refuse(
        [&allowed](grpc::ServerContext*, Messages*) { return ToGrpc(allowed); });
    refuse.RunHandler(param);
  }

 private:
  MethodHandler& handler_;  // of the service
  const std::string method_;
  CallGuard& guard_;
};

class GuardedService final : public grpc::Service {
 public:
  GuardedService(grpc::Service& service, const google::protobuf::ServiceDescriptor& api,
                 const std::string& streamed, CallGuard& guard) {
    for (int i = 0; i < api.method_count(); ++i) {
      const google::protobuf::MethodDescriptor& method = *api.method(i);
      MethodHandler& handler = *Registered::HandlerOf(service, i);
      const std::string name = absl::StrCat(api.full_name(), "/", method.name());
      names_.push_back(std::make_unique<std::string>(absl::StrCat("/", name)));
      if (service.has_callback_methods()) {
        SEER_CHECK(method.client_streaming() && method.server_streaming()) << name;
        AddMethod(new grpc::internal::RpcServiceMethod(names_.back()->c_str(),
                                                       RpcMethod::BIDI_STREAMING, nullptr));
        MarkMethodCallback(i, new Stream(handler, name, guard));
      } else if (method.name() == streamed) {
        AddMethod(new grpc::internal::RpcServiceMethod(names_.back()->c_str(),
                                                       RpcMethod::BIDI_STREAMING,
                                                       new OneRequestRead(handler, name, guard)));
      } else {
        SEER_CHECK(!method.client_streaming()) << name;
        AddMethod(new grpc::internal::RpcServiceMethod(
            names_.back()->c_str(),
            method.server_streaming() ? RpcMethod::SERVER_STREAMING : RpcMethod::NORMAL_RPC,
            new OneRequest(handler, name, guard)));
      }
    }
  }

 private:
  std::vector<std::unique_ptr<std::string>> names_;  // methods point to them
};

}  // namespace

std::unique_ptr<grpc::Service> MakeGuardedService(grpc::Service& service, const std::string& name,
                                                  const std::string& streamed, CallGuard& guard) {
  const auto* api = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
  SEER_CHECK(api != nullptr) << name;
  return std::make_unique<GuardedService>(service, *api, streamed, guard);
}

}  // namespace seer
