#include "common/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/address.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/tracing.h"

namespace seer {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

struct RpcMetrics {
  explicit RpcMetrics(MetricsRegistry& registry)
      : requests(registry.AddCounter("seer_rpc_requests_total",
                                     "Calls that ended, by method and status code.")),
        seconds(registry.AddHistogram(
            "seer_rpc_seconds", "Time of a call from its start to its status.",
            {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600})),
        in_flight(registry.AddGauge("seer_rpc_in_flight", "Calls that have not ended.")) {}

  void Started(const std::string& method) { Change(method, 1); }
  void Ended(const std::string& method, const std::string& code, absl::Duration took) {
    Change(method, -1);
    requests.Add(1, {{"method", method}, {"code", code}});
    seconds.Observe(absl::ToDoubleSeconds(took), {{"method", method}});
  }

 private:
  void Change(const std::string& method, int by) {
    absl::MutexLock lock(&mu);
    in_flight.Set(live[method] += by, {{"method", method}});
  }

  Counter& requests;
  Histogram& seconds;
  Gauge& in_flight;
  absl::Mutex mu;
  std::map<std::string, int> live ABSL_GUARDED_BY(mu);
};

const char* CodeName(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  return code >= 0 && code <= 16 ? kNames[code] : "UNKNOWN";
}

// Lives as long as its call; a call that ends without a status of ours was cancelled.
class CallMeter final : public grpc::experimental::Interceptor {
 public:
  // `guard` may be null.
  CallMeter(RpcMetrics& metrics, CallGuard* guard, std::string method,
            grpc::ServerContextBase* context)
      : metrics_(metrics),
        guard_(guard),
        method_(std::move(method)),
        context_(context),
        start_(Clock::Real().Steady()) {
    metrics_.Started(method_);
  }
  ~CallMeter() override { metrics_.Ended(method_, code_, Clock::Real().Steady() - start_); }
  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = batch->GetSendStatus();
      code_ = CodeName(status.error_code());
      if (guard_ != nullptr) guard_->Answered(*context_, status);
    }
    batch->Proceed();
  }

 private:
  RpcMetrics& metrics_;
  CallGuard* const guard_;
  const std::string method_;
  grpc::ServerContextBase* const context_;
  const absl::Duration start_;
  std::string code_ = "CANCELLED";
};

class CallMeterFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CallMeterFactory(std::shared_ptr<RpcMetrics> metrics, CallGuard* guard)
      : metrics_(std::move(metrics)), guard_(guard) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    absl::string_view method = info->method();
    if (!method.empty() && method.front() == '/') method.remove_prefix(1);
    return new CallMeter(*metrics_, guard_, std::string(method), info->server_context());
  }

 private:
  const std::shared_ptr<RpcMetrics> metrics_;
  CallGuard* const guard_;
};

class GrpcServer final : public RpcServer {
 public:
  GrpcServer(std::unique_ptr<grpc::Server> server,
             std::vector<std::unique_ptr<grpc::Service>> guarded,
             std::unique_ptr<CertificateWatch> certificate, std::shared_ptr<RpcMetrics> metrics,
             std::string host, int port, absl::Duration drain)
      : metrics_(std::move(metrics)),
        guarded_(std::move(guarded)),
        certificate_(std::move(certificate)),
        server_(std::move(server)),
        host_(std::move(host)),
        port_(port),
        drain_(drain) {}
  ~GrpcServer() override { Stop(); }
  int port() const override { return port_; }
  std::string address() const override { return AddressText(host_, port_); }
  std::shared_ptr<grpc::Channel> InProcess() override {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);  // the server's own limit counts
    return server_->InProcessChannel(arguments);
  }
  void SetServing(bool serving) override {
    if (auto* health = server_->GetHealthCheckService()) health->SetServingStatus(serving);
  }
  void Stop() override {
    if (stopped_.exchange(true)) return;
    SetServing(false);
    server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(drain_));
    server_->Wait();
  }

 private:
  const std::shared_ptr<RpcMetrics> metrics_;  // interceptors of calls use it to the end
  const std::vector<std::unique_ptr<grpc::Service>> guarded_;
  const std::unique_ptr<CertificateWatch> certificate_;
  const std::unique_ptr<grpc::Server> server_;
  const std::string host_;
  const int port_;
  const absl::Duration drain_;
  std::atomic<bool> stopped_{false};
};

}  // namespace

absl::Status CheckExposure(const std::string& address, const SecurityOptions& security,
                           bool authenticates, const std::string& flag) {
  const bool tls = !security.certificate.empty();
  if (security.insecure || IsLoopback(HostOf(address)) || (tls && authenticates))
    return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kInsecureBind,
               absl::StrCat("other machines reach ", address, ", but ",
                            tls             ? "callers need not say who they are"
                            : authenticates ? "connections are not encrypted"
                                            : "connections are not encrypted and "
                                              "callers need not say who they are"))
      .Field(flag)
      .Hint(
          "give --tls-cert, --tls-key and --auth tokens (docs/security.md), listen on 127.0.0.1, "
          "or give --insecure where the network itself keeps others out");
}

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const RpcServerOptions& options, const std::vector<ServedService>& services,
    MetricsRegistry& metrics) {
  static std::once_flag plugins;  // process-wide switches of gRPC
  std::call_once(plugins, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  SEER_ASSIGN_OR_RETURN(Address wanted, ReadListenAddress("--listen", options.address));
  SEER_RETURN_IF_ERROR(
      CheckExposure(options.address, options.security, options.guard != nullptr, "listen"));
  SEER_ASSIGN_OR_RETURN(const auto credentials, MakeServerCredentials(options.security));
  auto rpc_metrics = std::make_shared<RpcMetrics>(metrics);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.address, credentials, &port);
  // A second server on the port is told, not let in.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  const auto milliseconds = [&builder](const char* argument, absl::Duration time) {
    builder.AddChannelArgument(argument, static_cast<int>(absl::ToInt64Milliseconds(time)));
  };
  milliseconds(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, options.handshake_timeout);
  milliseconds(GRPC_ARG_MAX_CONNECTION_IDLE_MS, options.max_idle);
  milliseconds(GRPC_ARG_MAX_CONNECTION_AGE_MS, options.max_age);
  milliseconds(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, options.max_age_grace);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams);
  builder.SetMaxReceiveMessageSize(options.max_request_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  std::vector<std::unique_ptr<grpc::Service>> guarded;
  for (const ServedService& served : services) {
    if (options.guard == nullptr) {
      builder.RegisterService(served.service);
      continue;
    }
    SEER_CHECK(served.name != nullptr) << "a guard has to know the service's name";
    guarded.push_back(
        MakeGuardedService(*served.service, served.name, served.streamed, *options.guard));
    builder.RegisterService(guarded.back().get());
  }
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(TracedHandlers());
  interceptors.push_back(std::make_unique<CallMeterFactory>(rpc_metrics, options.guard));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kPortInUse,
                 absl::StrCat("cannot listen on ", options.address,
                              ": the port is in use or not allowed"))
        .Field("listen")
        .Hint(
            "stop the process that holds the port (ss -ltnp shows it), or choose another with "
            "--listen HOST:PORT; port 0 takes any free one")
        .With("address", options.address);
  }
  return std::unique_ptr<RpcServer>(std::make_unique<GrpcServer>(
      std::move(server), std::move(guarded),
      std::make_unique<CertificateWatch>(options.security.certificate, metrics),
      std::move(rpc_metrics), std::move(wanted.host), port, options.drain));
}

}  // namespace seer
