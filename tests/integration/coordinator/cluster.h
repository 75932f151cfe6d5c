// A coordinator in this process with agents that are played by the test:
// real gRPC, a real database, real files.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/server.h"
#include "seer/internal/v1/agent.grpc.pb.h"
#include "seer/internal/v1/trainer.grpc.pb.h"
#include "seer/v1/checkpoints.grpc.pb.h"
#include "seer/v1/jobs.grpc.pb.h"
#include "seer/v1/workers.grpc.pb.h"
#include "tests/support/temp_dir.h"

namespace seer::testing {

// Says hello, sends heartbeats, and does what the test tells it to about ranks.
class FakeAgent {
 public:
  struct Options {
    std::string name = "w1";
    int devices = 2;
    std::string incarnation = "first";
    std::vector<internal::v1::RunningRank> running;
    std::map<std::string, std::string> labels;
  };
  FakeAgent(int port, Options options);
  ~FakeAgent() { HangUp(); }
  void HangUp();  // as if the machine were gone; no goodbye

  // The next assignment or stop; fails the test after 20 s.
  internal::v1::Assign NextAssign();
  internal::v1::Stop NextStop();
  internal::v1::Inspect NextInspect();
  bool closed();  // by the coordinator
  void Started(const internal::v1::Assign& assign);
  void Exited(const internal::v1::Assign& assign, int exit_code, const std::string& reason = "",
              const std::string& message = "");
  void Exited(const internal::v1::Assign& assign, internal::v1::RankReport report);
  // Of the exits that were told, how many the coordinator said that it has on disk; until then a
  // rank is among those of heartbeats, as a real agent's.
  int64_t exits_known() const ABSL_LOCKS_EXCLUDED(mu_);
  int64_t acks() const ABSL_LOCKS_EXCLUDED(mu_);
  void Log(const internal::v1::Assign& assign, const std::string& text);
  // That the rank does; who it is is filled in.
  void Does(const internal::v1::Assign& assign,
            internal::v1::RankActivities::RankActivity activity);

 private:
  // The oldest of `queue`, which is `what`; fails the test after 20 s.
  template <typename Message>
  Message Next(std::deque<Message>& queue, const char* what);
  // Has ranks of it whose end was not told.
  bool Runs(int64_t attempt_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Beat();
  void Read();
  void Send(const internal::v1::AgentMessage& message);
  void Report(const internal::v1::Assign& assign, internal::v1::RankReport report);

  const Options options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<internal::v1::Agents::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<internal::v1::AgentMessage, internal::v1::CoordinatorMessage>>
      stream_;
  mutable absl::Mutex mu_;
  std::map<std::pair<int64_t, int>, internal::v1::RunningRank> running_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<int64_t, int>> exits_ ABSL_GUARDED_BY(mu_);  // as they were told
  int64_t exits_known_ ABSL_GUARDED_BY(mu_) = 0, acks_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<internal::v1::Assign> assigns_ ABSL_GUARDED_BY(mu_);
  std::deque<internal::v1::Stop> stops_ ABSL_GUARDED_BY(mu_);
  std::deque<internal::v1::Inspect> inspects_ ABSL_GUARDED_BY(mu_);
  // A stop is repeated until it is obeyed: counted once.
  std::set<std::pair<int64_t, bool>> told_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Mutex write_mu_;
  std::thread reader_, beater_;
};

class Cluster {
 public:
  // One coordinator on SQLite; or several on a PostgreSQL database, all of which calls below know.
  Cluster() { Start(); }
  Cluster(int coordinators, std::string url) : count_(coordinators), url_(std::move(url)) {
    Start();
  }
  void Start();
  void Stop() { servers_.clear(); }
  void Stop(size_t number) { servers_[number].reset(); }
  void Restart() {
    Stop();
    Start();
  }
  coordinator::ServerConfig Config() const;
  int port(size_t number = 0) const { return servers_[number]->port(); }
  int metrics_port(size_t number = 0) const { return servers_[number]->metrics_port(); }
  int http_port() const { return servers_[0]->http_port(); }
  const TempDir& dir() const { return dir_; }

  // Unary calls, as absl statuses.
  absl::StatusOr<v1::Job> Create(const v1::JobSpec& spec, const std::string& request_id = "");
  absl::StatusOr<v1::Job> Get(const std::string& name);
  absl::StatusOr<v1::Job> Pause(const std::string& name);
  absl::StatusOr<v1::Job> Resume(const std::string& name, int64_t step = 0);
  absl::StatusOr<v1::Job> Cancel(const std::string& name);
  // Watches until the job is in the state; fails the test after 20 s.
  v1::Job WaitFor(const std::string& name, v1::JobState state);
  bool WaitForWorkers(int count);
  std::vector<v1::Event> Events(const std::string& name);
  std::vector<v1::LogLine> Logs(const std::string& name, bool follow = false, int tail = 0);

  absl::StatusOr<bool> Progress(const internal::v1::Assign& assign, int64_t step,
                                double step_seconds = 0.5);
  // Writes the rank's file where a trainer would and reports it. True: committed.
  absl::StatusOr<bool> Checkpoint(const internal::v1::Assign& assign, int64_t step);

  std::string webhook_secret_file;  // from the next Start on, as all here
  std::string http;
  double storage_low_watermark = 0;
  absl::Duration hang_after = absl::Seconds(30);
  absl::Duration keep_jobs = absl::Hours(1), keep_events = absl::Hours(1);

  std::unique_ptr<v1::Jobs::Stub> jobs;
  std::unique_ptr<v1::Checkpoints::Stub> checkpoints;
  std::unique_ptr<v1::Workers::Stub> workers;
  std::unique_ptr<internal::v1::Trainers::Stub> trainers;

 private:
  TempDir dir_;
  const int count_ = 1;
  const std::string url_;  // empty: SQLite
  std::vector<std::unique_ptr<coordinator::CoordinatorServer>> servers_;
};

// Polls until it is true; false after 20 s. For what no call waits for.
bool Eventually(const std::function<bool()>& condition);

// A call of a service, as an absl status.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> CallStub(Stub& stub,
                                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                               Response*),
                                  const Request& request) {
  grpc::ClientContext context;
  Response response;
  const absl::Status status = FromGrpc((stub.*method)(&context, request, &response));
  if (!status.ok()) return status;
  return response;
}

// Two ranks, 20 steps, pool "cats".
v1::JobSpec SmallSpec(const std::string& name, int ranks = 2);

}  // namespace seer::testing
