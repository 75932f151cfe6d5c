// A receiver of OTLP for tests: keeps what it takes, and refuses or holds calls when told to.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"

namespace seer::testing {

namespace collector = opentelemetry::proto::collector;

class Receiver {
 public:
  explicit Receiver(const std::shared_ptr<grpc::ServerCredentials>& credentials =
                        grpc::InsecureServerCredentials())
      : traces_(*this), logs_(*this) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", credentials, &port_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.RegisterService(&traces_);
    builder.RegisterService(&logs_);
    server_ = builder.BuildAndStart();
  }
  ~Receiver() {
    Hold(false);
    if (server_) server_->Shutdown();
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }
  std::string endpoint() const { return "http://" + address(); }

  void Answer(grpc::Status status) {  // from now on
    absl::MutexLock lock(&mu_);
    status_ = std::move(status);
  }
  void Hold(bool hold) {  // calls come to no end while it does
    absl::MutexLock lock(&mu_);
    hold_ = hold;
  }
  void Reject(int64_t items) {  // of each call that it takes
    absl::MutexLock lock(&mu_);
    reject_ = items;
  }

  // Waits for `least` of them.
  std::vector<opentelemetry::proto::trace::v1::Span> Spans(size_t least) {
    return Wait(spans_, least);
  }
  std::vector<opentelemetry::proto::logs::v1::LogRecord> Lines(size_t least) {
    return Wait(lines_, least);
  }
  void AwaitCalls(int least) {  // those that it refused, too
    absl::MutexLock lock(&mu_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_ >= least; };
    mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(60));
  }
  std::map<std::string, std::string> resource() {  // of the newest call
    absl::MutexLock lock(&mu_);
    return resource_;
  }
  std::map<std::string, std::string> metadata() {
    absl::MutexLock lock(&mu_);
    return metadata_;
  }

 private:
  template <typename Item>
  std::vector<Item> Wait(std::vector<Item>& items, size_t least) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return items.size() >= least; };
    mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(60));
    return items;
  }
  template <typename Resource>
  grpc::Status Take(grpc::ServerContext& context, const Resource& resource) {
    absl::MutexLock lock(&mu_);
    ++calls_;
    const auto free = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return !hold_ || context.IsCancelled();
    };
    while (!mu_.AwaitWithTimeout(absl::Condition(&free), absl::Milliseconds(20))) {
    }
    for (const auto& attribute : resource.attributes())
      resource_[attribute.key()] = attribute.value().string_value();
    for (const auto& [key, value] : context.client_metadata())
      metadata_[std::string(key.data(), key.size())] = std::string(value.data(), value.size());
    return status_;
  }

  class Traces final : public collector::trace::v1::TraceService::Service {
   public:
    explicit Traces(Receiver& receiver) : receiver_(receiver) {}
    grpc::Status Export(grpc::ServerContext* context,
                        const collector::trace::v1::ExportTraceServiceRequest* request,
                        collector::trace::v1::ExportTraceServiceResponse* response) override {
      const grpc::Status status = receiver_.Take(*context, request->resource_spans(0).resource());
      absl::MutexLock lock(&receiver_.mu_);
      response->mutable_partial_success()->set_rejected_spans(receiver_.reject_);
      if (!status.ok()) return status;
      for (const auto& span : request->resource_spans(0).scope_spans(0).spans())
        receiver_.spans_.push_back(span);
      return status;
    }

   private:
    Receiver& receiver_;
  };
  class Logs final : public collector::logs::v1::LogsService::Service {
   public:
    explicit Logs(Receiver& receiver) : receiver_(receiver) {}
    grpc::Status Export(grpc::ServerContext* context,
                        const collector::logs::v1::ExportLogsServiceRequest* request,
                        collector::logs::v1::ExportLogsServiceResponse*) override {
      const grpc::Status status = receiver_.Take(*context, request->resource_logs(0).resource());
      if (!status.ok()) return status;
      absl::MutexLock lock(&receiver_.mu_);
      for (const auto& line : request->resource_logs(0).scope_logs(0).log_records())
        receiver_.lines_.push_back(line);
      return status;
    }

   private:
    Receiver& receiver_;
  };

  int port_ = 0;
  absl::Mutex mu_;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
  bool hold_ ABSL_GUARDED_BY(mu_) = false;
  int64_t reject_ ABSL_GUARDED_BY(mu_) = 0;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<opentelemetry::proto::trace::v1::Span> spans_ ABSL_GUARDED_BY(mu_);
  std::vector<opentelemetry::proto::logs::v1::LogRecord> lines_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> resource_ ABSL_GUARDED_BY(mu_), metadata_ ABSL_GUARDED_BY(mu_);
  Traces traces_;
  Logs logs_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace seer::testing
