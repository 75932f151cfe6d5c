// seer.internal.v1.Agents: one stream a machine, without a thread of its own, so that 10,000 fit.
// Thread-safe. The newest stream of a worker is the worker; an older one is closed.
// A stream is read one message at a time: the next one only when the loop has dealt with it. What
// cannot be sent waits, up to kMaxUnsent messages; then it is closed and the agent dials again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/loop.h"
#include "coordinator/services/change_feed.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/log_store.h"
#include "seer/internal/v1/agent.grpc.pb.h"

namespace seer::coordinator {

struct AgentStreamsOptions {
  absl::Duration heartbeat = absl::Seconds(1);
  absl::Duration lease = absl::Seconds(15);
  absl::Duration activity_period = absl::Seconds(10);  // between looks at what ranks do
  absl::Duration hello_limit = absl::Seconds(10);      // a stream that says none by then is ended
};

// What agents are told to report by, with so many workers known:
// options.heartbeat, and where that would be more than 2,000 heartbeats a second in all, longer, up
// to a third of the lease.
absl::Duration HeartbeatPeriod(const AgentStreamsOptions& options, size_t workers);

class AgentStreams final : public internal::v1::Agents::CallbackService {
 public:
  static constexpr size_t kMaxUnsent = 4096;

  // All must outlive it, and the loops must run until Close() and the server's stop are through.
  // Log lines are written on `writer`; a stream that brings some is read on when they are.
  AgentStreams(CoreRunner& runner, Loop& writer, LogStore& logs, ChangeFeed& feed,
               CoordinatorMetrics& metrics, AgentStreamsOptions options)
      : runner_(runner),
        writer_(writer),
        logs_(logs),
        feed_(feed),
        metrics_(metrics),
        options_(options) {}

  grpc::ServerBidiReactor<internal::v1::AgentMessage, internal::v1::CoordinatorMessage>* Connect(
      grpc::CallbackServerContext* context) override;

  // To the worker's stream; dropped if there is none:
  // its next hello tells what it lacks. On the runner's loop.
  void Send(const std::string& worker, internal::v1::CoordinatorMessage message);
  // Ends all streams with `status`: their agents dial again.
  void Disconnect(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  // The same, and refuses new ones.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Stream;
  void Handle(const std::shared_ptr<Stream>& stream, const internal::v1::AgentMessage& message);
  void Acknowledge(Stream& stream, size_t workers);
  void Hello(const std::shared_ptr<Stream>& stream, const internal::v1::Hello& hello);
  void Rank(const std::shared_ptr<Stream>& stream, const internal::v1::RankReport& report);
  void Exited(const std::shared_ptr<Stream>& stream, int64_t number, command::RankExited exited);
  void Logs(const std::shared_ptr<Stream>& stream, const internal::v1::LogLines& lines);
  void Ended(const std::shared_ptr<Stream>& stream);

  CoreRunner& runner_;
  Loop& writer_;
  LogStore& logs_;
  ChangeFeed& feed_;
  CoordinatorMetrics& metrics_;
  const AgentStreamsOptions options_;
  std::map<std::string, std::shared_ptr<Stream>> workers_;  // the runner's loop only
  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::map<uint64_t, std::weak_ptr<Stream>> open_ ABSL_GUARDED_BY(mu_);
  uint64_t last_stream_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace seer::coordinator
