#include "worker/agent/link.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_join.h"
#include "common/base/await.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/rpc/channel.h"

namespace seer::worker {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(100);
constexpr absl::Duration kMaxBackoff = absl::Seconds(3);

// It was reached, and does not let this agent in.
bool IsRefusal(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
         status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
}

void LogEnd(const std::string& coordinator, const grpc::Status& status) {
  if (!IsRefusal(status)) {
    LogWarn("coordinator_unreachable",
            {{"coordinator", coordinator}, {"status", status.error_message()}});
    return;
  }
  LogError("authentication_failed",
           {{"coordinator", coordinator},
            {"status", status.error_message()},
            {"hint",
             "give --token-file FILE with a token of the role worker: `seer auth token "
             "create NAME --role worker` makes one"}});
}

}  // namespace

Link::Link(const std::string& coordinators, std::shared_ptr<const ClientSecurity> security,
           LinkCallbacks callbacks)
    : coordinators_(SplitAddresses(coordinators)),
      named_(absl::StrJoin(coordinators_, ",")),
      security_(std::move(security)),
      callbacks_(std::move(callbacks)),
      thread_("link", [this] { Run(); }) {}

void Link::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  thread_.Join();
}

bool Link::Send(const internal::v1::AgentMessage& message) {
  const size_t bytes = message.ByteSizeLong();
  absl::MutexLock lock(&mu_);
  if (!open_ || unsent_.size() >= kMaxUnsentMessages || unsent_bytes_ + bytes > kMaxUnsentBytes)
    return false;
  unsent_.push_back(message);
  unsent_bytes_ += bytes;
  return true;
}

size_t Link::unsent_bytes() {
  absl::MutexLock lock(&mu_);
  return unsent_bytes_;
}

void Link::LeaveSilent(absl::Duration limit) {
  absl::MutexLock lock(&mu_);
  if (coordinators_.size() < 2 || context_ == nullptr) return;
  const absl::Duration now = Clock::Real().Steady();
  if (now - heard_ <= limit) return;
  LogWarn("coordinator_silent", {{"seconds", absl::ToDoubleSeconds(now - heard_)}});
  heard_ = now;  // said once a stream
  context_->TryCancel();
}

void Link::Run() {
  std::shared_ptr<grpc::Channel> channel = MakeChannel(coordinators_, security_);
  absl::BitGen random;
  absl::Duration backoff = kFirstBackoff;
  std::optional<bool> said;  // whether what was said last was a refusal
  while (true) {
    grpc::ClientContext context;
    {
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
      context_ = &context;
      heard_ = Clock::Real().Steady();
    }
    const auto stub = internal::v1::Agents::NewStub(channel);
    auto stream = stub->Connect(&context);
    const bool welcomed = stream->Write(callbacks_.opened()) && Read(*stream, context);
    const grpc::Status status = stream->Finish();
    std::deque<internal::v1::AgentMessage> unsent;
    {
      absl::MutexLock lock(&mu_);
      context_ = nullptr;
      unsent.swap(unsent_);
      unsent_bytes_ = 0;
      if (welcomed) {
        backoff = kFirstBackoff;
        said.reset();
      }
      const bool refused = IsRefusal(status);
      if (!stopping_ && std::exchange(said, refused) != refused) LogEnd(named_, status);
    }
    if (welcomed) {
      callbacks_.closed(std::move(unsent));
    } else if (coordinators_.size() > 1) {
      channel = MakeChannel(coordinators_, security_);  // a name may mean another machine by now
    }
    absl::MutexLock lock(&mu_);
    AwaitFor(mu_, absl::Condition(&stopping_), backoff * absl::Uniform(random, 0.0, 1.0));
    backoff = std::min(backoff * 2, kMaxBackoff);
  }
}

bool Link::Read(Stream& stream, grpc::ClientContext& context) {
  Thread writer;
  internal::v1::CoordinatorMessage message;
  while (stream.Read(&message)) {
    if (!writer.joinable()) {
      LogInfo("coordinator_connected", {{"coordinator", context.peer()}});
      absl::MutexLock lock(&mu_);
      open_ = true;
      writer = Thread("link-write", [this, &stream] { Write(stream); });
    }
    callbacks_.received(std::move(message));
    message.Clear();
    absl::MutexLock lock(&mu_);
    heard_ = Clock::Real().Steady();
  }
  {
    absl::MutexLock lock(&mu_);
    open_ = false;
    if (writing_) context.TryCancel();  // of a message that the coordinator does not read
  }
  const bool welcomed = writer.joinable();
  writer.Join();
  return welcomed;
}

void Link::Write(Stream& stream) {
  while (true) {
    internal::v1::AgentMessage message;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &Link::HasWork));
      if (!open_) return;
      message = unsent_.front();
      writing_ = true;
    }
    const bool sent = stream.Write(message);
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (!sent) {
      open_ = false;
      return;
    }
    unsent_bytes_ -= unsent_.front().ByteSizeLong();
    unsent_.pop_front();
  }
}

}  // namespace seer::worker
