#include "worker/trainer/replica_choice.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/await.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/rpc/channel.h"
#include "common/rpc/resolve.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/batches.grpc.pb.h"

namespace seer::worker {
namespace {

constexpr std::chrono::seconds kAskDeadline(2);
constexpr double kClearly = 0.9;  // of the own replica's load: what a move must at least come to

absl::Duration Now() { return Clock::Real().Steady(); }

}  // namespace

double MoveProbability(const v1::ReplicaLoad& own, const v1::ReplicaLoad& other) {
  if (other.draining() || own.stream_wanted() <= 0) return 0;
  if (own.draining()) return 1;
  if (other.wanted() + own.stream_wanted() >= kClearly * own.wanted()) return 0;
  return std::min(1.0, (own.wanted() - other.wanted()) / (2 * own.wanted()));
}

ReplicaChoice::Ask ReplicaChoice::AskByGrpc(std::shared_ptr<const ClientSecurity> security) {
  return [security = std::move(security)](
             const std::string& replica,
             const v1::GetReplicaLoadRequest& request) -> absl::StatusOr<v1::ReplicaLoad> {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kAskDeadline);
    v1::ReplicaLoad load;
    const absl::Status status = FromGrpc(v1::Batches::NewStub(MakeChannel({replica}, security))
                                             ->GetReplicaLoad(&context, request, &load));
    if (!status.ok()) return status;
    return load;
  };
}

ReplicaChoice::ReplicaChoice(ReplicaChoiceOptions options, Ask ask, std::function<void()> leave)
    : options_(std::move(options)),
      ask_(std::move(ask)),
      leave_(std::move(leave)),
      turn_(static_cast<size_t>(options_.first)),
      received_(Now()),
      asked_(Now()),
      thread_("replicas", [this] { Run(); }) {}

ReplicaChoice::~ReplicaChoice() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.Join();
}

std::string ReplicaChoice::Next() {
  const std::vector<std::string> replicas = ResolveAddresses(options_.replicas);
  absl::MutexLock lock(&mu_);
  if (replicas.empty()) return "";
  const std::string preferred = std::exchange(preferred_, "");
  const auto wanted = std::find(replicas.begin(), replicas.end(), preferred);
  if (wanted != replicas.end()) turn_ = static_cast<size_t>(wanted - replicas.begin());
  current_ = replicas[turn_++ % replicas.size()];
  received_ = Now();
  return current_;
}

void ReplicaChoice::Received() {
  absl::MutexLock lock(&mu_);
  received_ = Now();
}

void ReplicaChoice::BeginWait() {
  absl::MutexLock lock(&mu_);
  waiting_since_ = Now();
}

void ReplicaChoice::EndWait() {
  absl::MutexLock lock(&mu_);
  waited_ += Now() - std::max(waiting_since_, asked_);
  waiting_since_ = absl::InfiniteDuration();
}

double ReplicaChoice::TakeStallRatio(absl::Duration now) {
  const bool waits = waiting_since_ != absl::InfiniteDuration();
  const absl::Duration waited =
      std::exchange(waited_, absl::ZeroDuration()) +
      (waits ? now - std::max(waiting_since_, asked_) : absl::ZeroDuration());
  return std::clamp(absl::FDivDuration(waited, now - std::exchange(asked_, now)), 0.0, 1.0);
}

void ReplicaChoice::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      if (AwaitFor(mu_, absl::Condition(&stopping_),
                   options_.period * absl::Uniform(random_, 0.75, 1.25)))
        return;
    }
    LookAround();
  }
}

void ReplicaChoice::LookAround() {
  v1::GetReplicaLoadRequest request;
  request.set_job(options_.job);
  request.set_rank(options_.rank);
  std::string own;
  {
    absl::MutexLock lock(&mu_);
    own = current_;
    request.set_stall_ratio(TakeStallRatio(Now()));
  }
  if (own.empty()) return;
  const auto own_load = ask_(own, request);
  if (!own_load.ok()) {
    // Any other error is an answer.
    bool silent =
        absl::IsUnavailable(own_load.status()) || absl::IsDeadlineExceeded(own_load.status());
    {
      absl::MutexLock lock(&mu_);
      silent = silent && waiting_since_ != absl::InfiniteDuration() &&
               Now() - received_ > options_.silence;
    }
    if (silent) Leave(own, "", "it is silent");
    return;
  }
  std::vector<std::string> others = ResolveAddresses(options_.replicas);
  std::erase(others, own);
  if (others.empty()) return;
  const std::string& other = others[absl::Uniform<size_t>(random_, 0, others.size())];
  const auto other_load = ask_(other, v1::GetReplicaLoadRequest());
  if (other_load.ok() && absl::Bernoulli(random_, MoveProbability(*own_load, *other_load)))
    Leave(own, other, "another has less to do");
}

// Unless the reader has gone elsewhere meanwhile.
void ReplicaChoice::Leave(const std::string& own, const std::string& preferred, const char* why) {
  {
    absl::MutexLock lock(&mu_);
    if (current_ != own) return;
    preferred_ = preferred;
  }
  LogInfo("batch_replica_changes", {{"replica", own}, {"to", preferred}, {"why", why}});
  leave_();
}

}  // namespace seer::worker
