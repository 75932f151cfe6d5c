#include "worker/agent/link.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "common/base/log.h"
#include "common/rpc/channel.h"

namespace seer::worker {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(100);
constexpr absl::Duration kMaxBackoff = absl::Seconds(3);

}  // namespace

Link::Link(const std::string& coordinator, LinkCallbacks callbacks)
    : coordinator_(coordinator),
      callbacks_(std::move(callbacks)),
      channel_(MakeChannel({coordinator})),
      thread_("link", [this] { Run(); }) {}

Link::~Link() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  thread_.Join();
}

bool Link::Send(const internal::v1::AgentMessage& message) {
  absl::MutexLock lock(&mu_);
  return stream_ != nullptr && stream_->Write(message);
}

void Link::Run() {
  const auto stub = internal::v1::Agents::NewStub(channel_);
  absl::BitGen random;
  absl::Duration backoff = kFirstBackoff;
  bool said = false;
  while (true) {
    grpc::ClientContext context;
    {
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
      context_ = &context;
    }
    auto stream = stub->Connect(&context);
    bool welcomed = false;
    if (stream->Write(callbacks_.opened())) {
      internal::v1::CoordinatorMessage message;
      while (stream->Read(&message)) {
        if (!welcomed) {
          welcomed = true;
          backoff = kFirstBackoff;
          said = false;
          LogInfo("coordinator_connected", {{"coordinator", coordinator_}});
          absl::MutexLock lock(&mu_);
          stream_ = stream.get();
        }
        callbacks_.received(std::move(message));
        message.Clear();
      }
    }
    {
      absl::MutexLock lock(&mu_);
      stream_ = nullptr;
    }
    const grpc::Status status = stream->Finish();
    if (welcomed) callbacks_.closed();
    absl::MutexLock lock(&mu_);
    context_ = nullptr;
    if (!stopping_ && !std::exchange(said, true))
      LogWarn("coordinator_unreachable",
              {{"coordinator", coordinator_}, {"status", status.error_message()}});
    mu_.AwaitWithTimeout(absl::Condition(&stopping_), backoff * absl::Uniform(random, 0.0, 1.0));
    backoff = std::min(backoff * 2, kMaxBackoff);
  }
}

}  // namespace seer::worker
