#include "common/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "common/base/error.h"

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
  CallMeter(RpcMetrics& metrics, std::string method)
      : metrics_(metrics), method_(std::move(method)), start_(Clock::Real().Steady()) {
    metrics_.Started(method_);
  }
  ~CallMeter() override { metrics_.Ended(method_, code_, Clock::Real().Steady() - start_); }
  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS))
      code_ = CodeName(batch->GetSendStatus().error_code());
    batch->Proceed();
  }

 private:
  RpcMetrics& metrics_;
  const std::string method_;
  const absl::Duration start_;
  std::string code_ = "CANCELLED";
};

class CallMeterFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallMeterFactory(std::shared_ptr<RpcMetrics> metrics) : metrics_(std::move(metrics)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    absl::string_view method = info->method();
    if (!method.empty() && method.front() == '/') method.remove_prefix(1);
    return new CallMeter(*metrics_, std::string(method));
  }

 private:
  const std::shared_ptr<RpcMetrics> metrics_;
};

class GrpcServer final : public RpcServer {
 public:
  GrpcServer(std::unique_ptr<grpc::Server> server, std::shared_ptr<RpcMetrics> metrics,
             std::string host, int port, absl::Duration drain)
      : metrics_(std::move(metrics)),
        server_(std::move(server)),
        host_(std::move(host)),
        port_(port),
        drain_(drain) {}
  ~GrpcServer() override { Stop(); }
  int port() const override { return port_; }
  std::string address() const override { return absl::StrCat(host_, ":", port_); }
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
  const std::unique_ptr<grpc::Server> server_;
  const std::string host_;
  const int port_;
  const absl::Duration drain_;
  std::atomic<bool> stopped_{false};
};

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const RpcServerOptions& options, const std::vector<grpc::Service*>& services,
    MetricsRegistry& metrics) {
  static std::once_flag plugins;  // process-wide switches of gRPC
  std::call_once(plugins, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  const size_t colon = options.address.rfind(':');
  int wanted_port = -1;
  if (colon == std::string::npos ||
      !absl::SimpleAtoi(options.address.substr(colon + 1), &wanted_port) || wanted_port < 0 ||
      wanted_port > 65535) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("'", options.address, "' is not an address"))
        .Field("listen")
        .Hint("write HOST:PORT, for example 127.0.0.1:7070; port 0 takes any free one");
  }
  auto rpc_metrics = std::make_shared<RpcMetrics>(metrics);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port);
  // A second server on the port is told, not let in.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<CallMeterFactory>(rpc_metrics));
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
  return std::unique_ptr<RpcServer>(
      std::make_unique<GrpcServer>(std::move(server), std::move(rpc_metrics),
                                   options.address.substr(0, colon), port, options.drain));
}

}  // namespace seer
