#include "coordinator/http/gateway.h"

#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/api/routes.h"
#include "common/base/error.h"
#include "common/rpc/peer.h"
#include "common/rpc/status_grpc.h"
#include "common/trace/trace_context.h"
#include "coordinator/http/http_error.h"
#include "coordinator/http/request_reader.h"
#include "coordinator/services/stream_begin.h"
#include "seer/v1/access.grpc.pb.h"

namespace seer::coordinator {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

std::string GrpcPath(const MethodDescriptor& method) {
  return absl::StrCat("/", std::string(method.service()->full_name()), "/",
                      std::string(method.name()));
}

grpc::ByteBuffer Bytes(const Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// As a message of the method's answer.
std::unique_ptr<Message> Parse(const MethodDescriptor& method, const grpc::ByteBuffer& bytes) {
  std::unique_ptr<Message> message(google::protobuf::MessageFactory::generated_factory()
                                       ->GetPrototype(method.output_type())
                                       ->New());
  grpc::Slice slice;
  const bool read = bytes.DumpToSingleSlice(&slice).ok() &&
                    message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  return read ? std::move(message) : nullptr;
}

grpc::Status NoMessage() {
  return ToGrpc(Error(absl::StatusCode::kInternal, reason::kInternal,
                      "the service answered what is no message of its method"));
}

std::string Json(const Message& message) {
  std::string json;
  google::protobuf::util::MessageToJsonString(message, &json);  // of a sound message it cannot fail
  return json;
}

// Of a service that could not be asked: it gave no reason of its own.
grpc::Status Explained(const grpc::Status& status, const MethodDescriptor& method) {
  const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                    status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  if (!away || !status.error_details().empty()) return status;
  return ToGrpc(Error(static_cast<absl::StatusCode>(status.error_code()),
                      reason::kServiceUnreachable,
                      absl::StrCat(OfDataService(method) ? "the data service" : "the coordinator",
                                   " does not answer: ", status.error_message()))
                    .Hint("check that it runs, and --dataservice of the coordinator"));
}

void HandOn(const HttpCallerRequest& request, grpc::ClientContext& context) {
  if (!request.peer.empty()) context.AddMetadata(kHandedOnPeer, request.peer);
  if (const auto it = request.headers.find("authorization"); it != request.headers.end())
    context.AddMetadata("authorization", it->second);
  const auto it = request.headers.find(kTraceparent);
  if (it != request.headers.end() && ParseTraceparent(it->second))
    context.AddMetadata(kTraceparent, it->second);
}

}  // namespace

// Asks the coordinator whether it knows the caller, and only then goes on to a data service: there
// all callers of this gateway are one host, and who guesses tokens would have the others refused.
class Gateway::Admission {
 public:
  static void Start(Gateway& gateway, std::shared_ptr<HttpExchange> exchange,
                    std::function<void(std::shared_ptr<HttpExchange>)> then) {
    auto call = std::make_shared<Admission>(gateway, std::move(exchange), std::move(then));
    HandOn(call->exchange_->request(), call->context_);
    call->context_.set_deadline(std::chrono::system_clock::now() +
                                absl::ToChronoMilliseconds(kDeadline));
    if (const absl::Status begun = gateway.Begin(&call->context_, false); !begun.ok())
      return call->exchange_->Answer(ErrorAnswer(ToGrpc(begun)));
    call->stub_->async()->Authenticate(&call->context_, &call->request_, &call->response_,
                                       [call](const grpc::Status& status) {
                                         if (status.ok()) {
                                           call->then_(std::move(call->exchange_));
                                         } else {
                                           call->exchange_->Answer(ErrorAnswer(status));
                                           call->exchange_.reset();  // before the server may go
                                         }
                                         call->gateway_.Ended(&call->context_, false);
                                       });
  }
  Admission(Gateway& gateway, std::shared_ptr<HttpExchange> exchange,
            std::function<void(std::shared_ptr<HttpExchange>)> then)
      : gateway_(gateway),
        exchange_(std::move(exchange)),
        then_(std::move(then)),
        stub_(v1::Access::NewStub(gateway.coordinator_)) {}

 private:
  Gateway& gateway_;
  std::shared_ptr<HttpExchange> exchange_;
  const std::function<void(std::shared_ptr<HttpExchange>)> then_;
  const std::unique_ptr<v1::Access::Stub> stub_;
  grpc::ClientContext context_;
  v1::AuthenticateRequest request_;
  v1::Principal response_;
};

// A call with one answer; there until it has come.
class Gateway::Unary {
 public:
  static void Start(Gateway& gateway, std::shared_ptr<HttpExchange> exchange, const Route& route,
                    const Message& request) {
    auto call = std::make_shared<Unary>(gateway, std::move(exchange), MethodOf(route));
    HandOn(call->exchange_->request(), call->context_);
    call->context_.set_deadline(std::chrono::system_clock::now() +
                                absl::ToChronoMilliseconds(kDeadline));
    call->request_ = Bytes(request);
    if (const absl::Status begun = gateway.Begin(&call->context_, false); !begun.ok())
      return call->exchange_->Answer(ErrorAnswer(ToGrpc(begun)));
    call->stub_.UnaryCall(&call->context_, GrpcPath(call->method_), {}, &call->request_,
                          &call->response_, [call](const grpc::Status& status) {
                            call->Done(status);
                            call->exchange_.reset();  // before the server may go
                            call->gateway_.Ended(&call->context_, false);
                          });
  }
  Unary(Gateway& gateway, std::shared_ptr<HttpExchange> exchange, const MethodDescriptor& method)
      : gateway_(gateway),
        exchange_(std::move(exchange)),
        method_(method),
        stub_(OfDataService(method) ? gateway.dataservice_ : gateway.coordinator_) {}

 private:
  void Done(const grpc::Status& status) {
    if (!status.ok()) return exchange_->Answer(ErrorAnswer(Explained(status, method_)));
    const auto message = Parse(method_, response_);
    if (!message) return exchange_->Answer(ErrorAnswer(NoMessage()));
    exchange_->Answer({200, CommonHeaders("application/json"), Json(*message) + "\n"});
  }

  Gateway& gateway_;
  std::shared_ptr<HttpExchange> exchange_;
  const MethodDescriptor& method_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_, response_;
};

// A call with many: one is read when the client has taken the one before. Keeps itself until both
// the call and what the HTTP side holds of it are over.
class Gateway::Stream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                              public std::enable_shared_from_this<Gateway::Stream> {
 public:
  Stream(Gateway& gateway, std::shared_ptr<HttpExchange> exchange, const Route& route)
      : gateway_(gateway),
        exchange_(std::move(exchange)),
        route_(route),
        method_(MethodOf(route)),
        stub_(OfDataService(method_) ? gateway.dataservice_ : gateway.coordinator_) {
    const auto& headers = exchange_->request().headers;
    const auto accept = headers.find("accept");
    events_ = accept != headers.end() && absl::StrContains(accept->second, "text/event-stream");
  }

  void Start(const Message& request) {
    if (const absl::Status begun = gateway_.Begin(&context_, true); !begun.ok())
      return exchange_->Answer(ErrorAnswer(ToGrpc(begun)));
    self_ = shared_from_this();
    HandOn(exchange_->request(), context_);
    request_ = Bytes(request);
    stub_.PrepareBidiStreamingCall(&context_, GrpcPath(method_), {}, this);
    AddHold();  // until nothing more is read
    StartWriteLast(&request_, {});
    StartRead(&response_);
    StartCall();
  }

 private:
  void OnReadInitialMetadataDone(bool ok) override {
    if (ok && context_.GetServerInitialMetadata().count(kStreamBegins) > 0) BeginAnswer();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    const auto message = Parse(method_, response_);
    if (!message) {
      broken_ = true;
      context_.TryCancel();
      return RemoveHold();
    }
    BeginAnswer();
    bool writing = false;
    {
      absl::MutexLock lock(&mu_);
      writing = writing_ = !gone_;
    }
    if (!writing) return RemoveHold();
    exchange_->Write(Piece(*message), [self = shared_from_this()] { self->Written(); });
  }

  void OnDone(const grpc::Status& status) override {
    const grpc::Status end = broken_ ? NoMessage() : Explained(status, method_);
    if (!begun() && !end.ok()) {
      exchange_->Answer(ErrorAnswer(end));
    } else {
      BeginAnswer();
      if (!end.ok()) {
        exchange_->Write(events_ ? absl::StrCat("event: error\ndata: ", ErrorJson(end), "\n\n")
                                 : ErrorJson(end) + "\n",
                         nullptr);
      } else if (events_) {
        exchange_->Write("event: end\ndata: {}\n\n", nullptr);
      }
      exchange_->End();
    }
    exchange_.reset();  // before the server may go
    const auto self = std::move(self_);
    gateway_.Ended(&context_, true);
  }

  // Callbacks of one call come one after the other, but that for the first metadata.
  void BeginAnswer() {
    absl::MutexLock lock(&mu_);
    if (begun_) return;
    begun_ = true;
    exchange_->Begin(200, CommonHeaders(events_ ? "text/event-stream" : "application/x-ndjson"),
                     events_ ? ":\n\n" : "", [self = shared_from_this()] { self->Gone(); });
  }

  std::string Piece(const Message& message) const {
    const std::string json = Json(message);
    if (!events_) return json + "\n";
    if (route_.number_field.empty()) return absl::StrCat("data: ", json, "\n\n");
    const auto* number = message.GetDescriptor()->FindFieldByName(std::string(route_.number_field));
    const auto& read = *message.GetReflection();
    const std::string id = number->type() == number->TYPE_STRING
                               ? read.GetString(message, number)
                               : absl::StrCat(read.GetInt64(message, number));
    return absl::StrCat("id: ", id, "\ndata: ", json, "\n\n");
  }

  // On the HTTP side:
  void Written() {
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
    }
    StartRead(&response_);
  }
  void Gone() {
    bool writing = false;
    {
      absl::MutexLock lock(&mu_);
      gone_ = true;
      writing = writing_;
    }
    context_.TryCancel();
    if (writing) RemoveHold();  // Written will not come; a read ends by itself
  }
  bool begun() {
    absl::MutexLock lock(&mu_);
    return begun_;
  }

  Gateway& gateway_;
  std::shared_ptr<HttpExchange> exchange_;
  const Route& route_;
  const MethodDescriptor& method_;
  bool events_ = false;  // as Server-Sent Events
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_, response_;
  bool broken_ = false;  // the service sent no message
  absl::Mutex mu_;
  bool begun_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;  // a message is on its way to the client
  std::shared_ptr<Stream> self_;
};

void Gateway::Handle(std::shared_ptr<HttpExchange> exchange) {
  const HttpCallerRequest& request = exchange->request();
  const Match match = FindRoute(request.method, request.path);
  if (match.route == nullptr) {
    const bool other_verb = !match.verbs.empty();
    HttpAnswer answer = ErrorAnswer(ToGrpc(
        Error(other_verb ? absl::StatusCode::kUnimplemented : absl::StatusCode::kNotFound,
              reason::kPathNotFound,
              other_verb ? absl::StrCat(request.path, " takes ", absl::StrJoin(match.verbs, " or "),
                                        ", not ", request.method)
                         : absl::StrCat("there is nothing at ", request.path))
            .Hint("/openapi.json lists all paths")));
    if (other_verb) {
      answer.status = 405;
      answer.headers.emplace_back("Allow", absl::StrJoin(match.verbs, ", "));
    }
    return exchange->Answer(std::move(answer));
  }
  auto message = ReadRequest(match, request);
  if (!message.ok()) return exchange->Answer(ErrorAnswer(ToGrpc(message.status())));
  const MethodDescriptor& method = MethodOf(*match.route);
  const auto call = [this, &route = *match.route, &method,
                     message = std::shared_ptr<Message>(*std::move(message))](
                        std::shared_ptr<HttpExchange> from) {
    if (method.server_streaming()) {
      std::make_shared<Stream>(*this, std::move(from), route)->Start(*message);
    } else {
      Unary::Start(*this, std::move(from), route, *message);
    }
  };
  if (!OfDataService(method)) return call(std::move(exchange));
  Admission::Start(*this, std::move(exchange), call);
}

absl::Status Gateway::Begin(grpc::ClientContext* context, bool stream) {
  absl::MutexLock lock(&mu_);
  if (stopped_) {
    return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
                 "the coordinator is shutting down")
        .Hint("ask again in a moment");
  }
  if (stream && streams_ == kMaxStreams) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kTooManyStreams,
                 absl::StrCat("the gateway serves ", kMaxStreams, " streams and takes no more"))
        .Hint("close some, or watch through the gRPC API");
  }
  calls_.insert(context);
  streams_ += stream ? 1 : 0;
  return absl::OkStatus();
}

void Gateway::Ended(grpc::ClientContext* context, bool stream) {
  absl::MutexLock lock(&mu_);
  calls_.erase(context);
  streams_ -= stream ? 1 : 0;
}

void Gateway::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
  for (grpc::ClientContext* context : calls_) context->TryCancel();
  const auto none = [this] {
    mu_.AssertReaderHeld();
    return calls_.empty();
  };
  mu_.Await(absl::Condition(&none));
}

}  // namespace seer::coordinator
