// A coordinator that an agent can dial, played by the test: real gRPC in this process.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "seer/internal/v1/agent.grpc.pb.h"

namespace seer::testing {

// Thread-safe. It welcomes each agent, acknowledges heartbeats, and keeps all it hears.
class FakeCoordinator final : public internal::v1::Agents::Service {
 public:
  using Stream =
      grpc::ServerReaderWriter<internal::v1::CoordinatorMessage, internal::v1::AgentMessage>;
  struct Heard {
    std::vector<internal::v1::Hello> hellos;
    std::vector<internal::v1::Heartbeat> heartbeats;
    std::vector<internal::v1::RankReport> reports;
    std::vector<std::string> lines;  // "rank: text"
    std::vector<internal::v1::RankActivities> activities;
    bool open = false;  // a stream is
  };

  explicit FakeCoordinator(absl::Duration heartbeat = absl::Milliseconds(20),
                           absl::Duration lease = absl::Seconds(15));
  ~FakeCoordinator() override { Stop(); }
  void Stop();   // agents find nobody
  void Start();  // again, at the same port
  const std::string& address() const { return address_; }

  void SetAcknowledging(bool on) ABSL_LOCKS_EXCLUDED(mu_);
  void SetWelcoming(bool on) ABSL_LOCKS_EXCLUDED(mu_);  // off: a hello is heard, not answered
  void SetReading(bool on) ABSL_LOCKS_EXCLUDED(mu_);    // after the hello
  // Of the next welcome.
  void SetActivityPeriod(absl::Duration period) ABSL_LOCKS_EXCLUDED(mu_);
  // What the next acknowledgement, and that one alone, says.
  void SetHeartbeatPeriod(absl::Duration period) ABSL_LOCKS_EXCLUDED(mu_);
  void HangUp() ABSL_LOCKS_EXCLUDED(mu_);  // breaks the stream; the agent may dial again

  void Assign(internal::v1::Assign assign) ABSL_LOCKS_EXCLUDED(mu_);
  // Rank `rank` of an attempt of jobs/a; `script` for the fake trainer.
  void Assign(int64_t attempt_id, int rank, const std::string& script, int world_size = 1);
  void SendInspect(int64_t attempt_id);
  void SendStop(int64_t attempt_id, bool kill, absl::Duration grace = absl::Minutes(1));

  // Waits until what was heard is as wanted; false after 30 s.
  bool WaitFor(absl::FunctionRef<bool(const Heard&)> wanted) ABSL_LOCKS_EXCLUDED(mu_);
  bool WaitForExit(int64_t attempt_id, int rank, internal::v1::RankReport* report);
  bool WaitForLine(const std::string& line);
  Heard heard() ABSL_LOCKS_EXCLUDED(mu_);

  grpc::Status Connect(grpc::ServerContext* context, Stream* stream) override;

 private:
  void Send(const internal::v1::CoordinatorMessage& message) ABSL_LOCKS_EXCLUDED(mu_);
  void Hear(const internal::v1::AgentMessage& message) ABSL_LOCKS_EXCLUDED(mu_);
  bool MayRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return reading_ || hung_up_ || stopping_;
  }
  bool MayWelcome() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return welcoming_ || hung_up_ || stopping_;
  }

  const absl::Duration heartbeat_, lease_;
  std::string address_;
  absl::Mutex mu_;
  Heard heard_ ABSL_GUARDED_BY(mu_);
  bool acknowledging_ ABSL_GUARDED_BY(mu_) = true, reading_ ABSL_GUARDED_BY(mu_) = true;
  bool welcoming_ ABSL_GUARDED_BY(mu_) = true;
  absl::Duration activity_period_ ABSL_GUARDED_BY(mu_) = absl::Hours(1);
  std::optional<absl::Duration> heartbeat_period_ ABSL_GUARDED_BY(mu_);
  bool hung_up_ ABSL_GUARDED_BY(mu_) = false, stopping_ ABSL_GUARDED_BY(mu_) = false;
  Stream* stream_ ABSL_GUARDED_BY(mu_) = nullptr;
  grpc::ServerContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace seer::testing
