#include "tests/integration/worker/fake_coordinator.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace seer::testing {

using internal::v1::AgentMessage;
using internal::v1::CoordinatorMessage;
using internal::v1::RankReport;

namespace {

constexpr absl::Duration kDeadline = absl::Seconds(30);

void Set(absl::Duration duration, google::protobuf::Duration* out) {
  out->set_seconds(absl::ToInt64Seconds(duration));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration % absl::Seconds(1))));
}

}  // namespace

FakeCoordinator::FakeCoordinator(absl::Duration heartbeat, absl::Duration lease)
    : heartbeat_(heartbeat), lease_(lease), address_("127.0.0.1:0") {
  Start();
}

void FakeCoordinator::Start() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = false;
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  SEER_CHECK(server_ != nullptr && port != 0);
  address_ = absl::StrCat("127.0.0.1:", port);
}

void FakeCoordinator::Stop() {
  if (server_ == nullptr) return;
  HangUp();
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
}

void FakeCoordinator::SetAcknowledging(bool on) {
  absl::MutexLock lock(&mu_);
  acknowledging_ = on;
}

void FakeCoordinator::SetWelcoming(bool on) {
  absl::MutexLock lock(&mu_);
  welcoming_ = on;
}

void FakeCoordinator::SetReading(bool on) {
  absl::MutexLock lock(&mu_);
  reading_ = on;
}

void FakeCoordinator::SetHeartbeatPeriod(absl::Duration period) {
  absl::MutexLock lock(&mu_);
  heartbeat_period_ = period;
}

void FakeCoordinator::SetActivityPeriod(absl::Duration period) {
  absl::MutexLock lock(&mu_);
  activity_period_ = period;
}

void FakeCoordinator::HangUp() {
  absl::MutexLock lock(&mu_);
  hung_up_ = true;
  if (context_ != nullptr) context_->TryCancel();
}

grpc::Status FakeCoordinator::Connect(grpc::ServerContext* context, Stream* stream) {
  AgentMessage message;
  if (!stream->Read(&message)) return grpc::Status::OK;
  CoordinatorMessage welcome;
  {
    absl::MutexLock lock(&mu_);
    heard_.hellos.push_back(message.hello());
    hung_up_ = false;
    context_ = context;
    mu_.Await(absl::Condition(this, &FakeCoordinator::MayWelcome));
    heard_.open = true;
    stream_ = stream;
    Set(activity_period_, welcome.mutable_welcome()->mutable_activity_period());
  }
  Set(heartbeat_, welcome.mutable_welcome()->mutable_heartbeat_period());
  Set(lease_, welcome.mutable_welcome()->mutable_lease());
  Send(welcome);
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &FakeCoordinator::MayRead));
    }
    if (!stream->Read(&message)) break;
    Hear(message);
  }
  absl::MutexLock lock(&mu_);
  heard_.open = false;
  stream_ = nullptr;
  context_ = nullptr;
  return grpc::Status::OK;
}

void FakeCoordinator::Hear(const AgentMessage& message) {
  bool acknowledge = false;
  CoordinatorMessage ack;
  ack.mutable_ack();
  {
    absl::MutexLock lock(&mu_);
    if (message.has_heartbeat()) {
      heard_.heartbeats.push_back(message.heartbeat());
      acknowledge = acknowledging_;
      if (acknowledge && heartbeat_period_)
        Set(*std::exchange(heartbeat_period_, std::nullopt),
            ack.mutable_ack()->mutable_heartbeat_period());
    }
    if (message.has_activities()) heard_.activities.push_back(message.activities());
    if (message.has_rank()) heard_.reports.push_back(message.rank());
    for (const auto& line : message.logs().lines())
      heard_.lines.push_back(absl::StrCat(line.rank(), ": ", line.text()));
  }
  if (!acknowledge) return;
  Send(ack);
}

void FakeCoordinator::Send(const CoordinatorMessage& message) {
  absl::MutexLock lock(&mu_);
  if (stream_ != nullptr) stream_->Write(message);
}

void FakeCoordinator::Assign(internal::v1::Assign assign) {
  CoordinatorMessage message;
  *message.mutable_assign() = std::move(assign);
  Send(message);
}

void FakeCoordinator::Assign(int64_t attempt_id, int rank, const std::string& script,
                             int world_size) {
  internal::v1::Assign assign;
  assign.set_attempt_id(attempt_id);
  assign.set_job("jobs/a");
  assign.set_attempt(1);
  assign.set_rank(rank);
  assign.set_world_size(world_size);
  assign.set_spec(script);
  Assign(std::move(assign));
}

void FakeCoordinator::SendInspect(int64_t attempt_id) {
  CoordinatorMessage message;
  message.mutable_inspect()->set_attempt_id(attempt_id);
  Send(message);
}

void FakeCoordinator::SendStop(int64_t attempt_id, bool kill, absl::Duration grace) {
  CoordinatorMessage message;
  message.mutable_stop()->set_attempt_id(attempt_id);
  message.mutable_stop()->set_kill(kill);
  Set(grace, message.mutable_stop()->mutable_grace());
  Send(message);
}

bool FakeCoordinator::WaitFor(absl::FunctionRef<bool(const Heard&)> wanted) {
  absl::MutexLock lock(&mu_);
  const auto is = [this, wanted]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return wanted(heard_); };
  return mu_.AwaitWithTimeout(absl::Condition(&is), kDeadline);
}

bool FakeCoordinator::WaitForExit(int64_t attempt_id, int rank, RankReport* report) {
  return WaitFor([&](const Heard& heard) {
    const auto it =
        std::find_if(heard.reports.begin(), heard.reports.end(), [&](const RankReport& r) {
          return r.state() == RankReport::STATE_EXITED && r.attempt_id() == attempt_id &&
                 r.rank() == rank;
        });
    if (it != heard.reports.end()) *report = *it;
    return it != heard.reports.end();
  });
}

bool FakeCoordinator::WaitForLine(const std::string& line) {
  return WaitFor([&](const Heard& heard) {
    return std::find(heard.lines.begin(), heard.lines.end(), line) != heard.lines.end();
  });
}

FakeCoordinator::Heard FakeCoordinator::heard() {
  absl::MutexLock lock(&mu_);
  return heard_;
}

}  // namespace seer::testing
