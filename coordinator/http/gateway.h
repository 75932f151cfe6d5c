// The public gRPC services over HTTP and JSON: routes.h says which path is which method. It calls
// them as any client does and decides nothing: who calls stands in the header Authorization, which
// is handed on. A stream goes out as JSON, a message a line, or as Server-Sent Events to who
// accepts text/event-stream. Thread-safe; owns no thread: work is done on those of HttpServer and
// gRPC.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/http/http_server.h"

namespace grpc {
class ClientContext;
}

namespace seer::coordinator {

class Gateway {
 public:
  static constexpr int kMaxStreams = 256;  // at a time; more are RESOURCE_EXHAUSTED
  static constexpr absl::Duration kDeadline = absl::Minutes(5);  // of a call that is no stream

  Gateway(std::shared_ptr<grpc::Channel> coordinator, std::shared_ptr<grpc::Channel> dataservice)
      : coordinator_(std::move(coordinator)), dataservice_(std::move(dataservice)) {}
  ~Gateway() { Stop(); }

  // Answers, now or later.
  void Handle(std::shared_ptr<HttpExchange> exchange);
  // Cancels calls and waits until all have ended; from here on Handle answers SHUTTING_DOWN.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Admission;
  class Unary;
  class Stream;
  // UNAVAILABLE with SHUTTING_DOWN, RESOURCE_EXHAUSTED with TOO_MANY_STREAMS: it must not begin.
  absl::Status Begin(grpc::ClientContext* context, bool stream) ABSL_LOCKS_EXCLUDED(mu_);
  void Ended(grpc::ClientContext* context, bool stream) ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<grpc::Channel> coordinator_;
  const std::shared_ptr<grpc::Channel> dataservice_;
  absl::Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mu_);  // that have not ended
  int streams_ ABSL_GUARDED_BY(mu_) = 0;                       // of them
};

}  // namespace seer::coordinator
