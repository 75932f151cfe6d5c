#include "coordinator/services/agent_streams.h"

#include <algorithm>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/label.h"
#include "common/base/log.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/activities.h"
#include "coordinator/services/convert.h"

namespace seer::coordinator {

using internal::v1::AgentMessage;
using internal::v1::CoordinatorMessage;

namespace {

absl::Status ShuttingDown() {
  return Error(absl::StatusCode::kUnavailable, reason::kShuttingDown,
               "the coordinator is shutting down");
}

constexpr int kMaxDevices = 1024;
constexpr absl::Duration kExitRetry = absl::Seconds(1);  // while the database cannot be written

absl::Status Refused(const std::string& what, absl::string_view field, absl::string_view hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, what)
      .Field(field)
      .Hint(hint);
}

absl::Status CheckHello(const internal::v1::Hello& hello) {
  bool good = !hello.worker().empty() && hello.worker().size() <= 63;
  for (char c : hello.worker())
    good = good &&
           (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.');
  if (!good) {
    return Refused(absl::StrCat("'", hello.worker(), "' cannot be a worker's name"), "worker",
                   "1 to 63 letters, digits, '-', '_' and '.'");
  }
  if (hello.devices() < 0 || hello.devices() > kMaxDevices) {
    return Refused(absl::StrCat("worker ", hello.worker(), " offers ", hello.devices(), " devices"),
                   "devices", absl::StrCat("from 0 to ", kMaxDevices));
  }
  if (hello.address().empty()) {
    return Refused(absl::StrCat("worker ", hello.worker(), " has no address"), "address",
                   "give the address where other ranks reach the machine");
  }
  return CheckMachineLabels({hello.labels().begin(), hello.labels().end()});
}

std::vector<RunningRank> FromProto(
    const google::protobuf::RepeatedPtrField<internal::v1::RunningRank>& ranks) {
  std::vector<RunningRank> running;
  for (const auto& rank : ranks) running.push_back(coordinator::FromProto(rank));
  return running;
}

}  // namespace

absl::Duration HeartbeatPeriod(const AgentStreamsOptions& options, size_t workers) {
  constexpr double kBeatsASecond = 2000;
  const absl::Duration wanted = absl::Seconds(static_cast<double>(workers) / kBeatsASecond);
  return std::max(options.heartbeat, std::min(wanted, options.lease / 3));
}

// One call. gRPC holds it until OnDone;
// whoever else has it may still Send and Close, which then do nothing.
class AgentStreams::Stream final
    : public grpc::ServerBidiReactor<AgentMessage, CoordinatorMessage> {
 public:
  Stream(AgentStreams& owner, uint64_t number) : owner_(owner), number_(number) {}

  void Begin(std::shared_ptr<Stream> self) {
    {
      absl::MutexLock lock(&mu_);
      self_ = std::move(self);
    }
    Read();
  }
  void Read() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (!finished_) StartRead(&incoming_);
  }
  void Send(CoordinatorMessage message) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (finished_) return;
      if (unsent_.size() < kMaxUnsent) {
        unsent_.push_back(std::move(message));
        if (unsent_.size() == 1) StartWrite(&unsent_.front());
        return;
      }
    }
    Close(Error(absl::StatusCode::kResourceExhausted, reason::kInternal,
                "the agent does not read what it is sent"));
  }
  void Close(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (std::exchange(finished_, true)) return;
    Finish(ToGrpc(status));
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Close(absl::OkStatus());  // the agent hung up
    arrived_ = Clock::Real().Steady();
    owner_.runner_.loop().Post([stream = Self()] {
      if (stream) stream->owner_.Handle(stream, stream->incoming_);
    });
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Close(absl::UnavailableError("the stream broke"));
    absl::MutexLock lock(&mu_);
    unsent_.pop_front();
    if (!finished_ && !unsent_.empty()) StartWrite(&unsent_.front());
  }
  void OnCancel() override { Close(absl::CancelledError("the stream broke")); }
  void OnDone() override {
    std::shared_ptr<Stream> self;
    {
      absl::MutexLock lock(&mu_);
      self = std::move(self_);
    }
    {
      absl::MutexLock lock(&owner_.mu_);
      owner_.open_.erase(number_);
    }
    AgentStreams& owner = owner_;
    owner.runner_.loop().Post([&owner, self = std::move(self)] { owner.Ended(self); });
  }

  absl::Duration arrived() const { return arrived_; }  // of the message that is handled

  // The loop's only:
  std::string worker;               // empty before its hello
  absl::Duration heartbeat;         // that it was told
  int64_t exits = 0;                // reports that a rank exited
  std::set<int64_t> exits_unknown;  // numbers of those that are not on disk yet

 private:
  std::shared_ptr<Stream> Self() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return self_;
  }

  AgentStreams& owner_;
  const uint64_t number_;
  AgentMessage incoming_;   // between OnReadDone and the next Read: the loop's
  absl::Duration arrived_;  // as well
  absl::Mutex mu_;
  std::shared_ptr<Stream> self_ ABSL_GUARDED_BY(mu_);           // until OnDone
  std::deque<CoordinatorMessage> unsent_ ABSL_GUARDED_BY(mu_);  // the first one is being written
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

grpc::ServerBidiReactor<AgentMessage, CoordinatorMessage>* AgentStreams::Connect(
    grpc::CallbackServerContext*) {
  std::shared_ptr<Stream> stream;
  bool closed;
  {
    absl::MutexLock lock(&mu_);
    stream = std::make_shared<Stream>(*this, ++last_stream_);
    closed = closed_;
    open_[last_stream_] = stream;
  }
  Stream* const reactor = stream.get();
  runner_.loop().After(options_.hello_limit, [late = std::weak_ptr<Stream>(stream)] {
    if (const auto silent = late.lock(); silent && silent->worker.empty())
      silent->Close(
          Error(absl::StatusCode::kDeadlineExceeded, reason::kInvalidArgument, "no hello came")
              .Field("hello")
              .Hint("an agent says hello at once"));
  });
  reactor->Begin(stream);
  if (closed) reactor->Close(ShuttingDown());
  return reactor;
}

void AgentStreams::Send(const std::string& worker, CoordinatorMessage message) {
  SEER_CHECK(runner_.loop().IsCurrent());
  if (const auto it = workers_.find(worker); it != workers_.end())
    it->second->Send(std::move(message));
}

void AgentStreams::Close() {
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
  }
  Disconnect(ShuttingDown());
}

void AgentStreams::Disconnect(const absl::Status& status) {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [number, stream] : open_) {
      if (auto alive = stream.lock()) streams.push_back(std::move(alive));
    }
  }
  for (const auto& stream : streams) stream->Close(status);
}

void AgentStreams::Handle(const std::shared_ptr<Stream>& stream, const AgentMessage& message) {
  if (const absl::Status leads = runner_.CheckLeads(); !leads.ok()) return stream->Close(leads);
  if (message.has_hello()) {
    Hello(stream, message.hello());
    return stream->Read();
  }
  if (stream->worker.empty())
    return stream->Close(Refused("the first message must be hello", "hello", "dial again"));
  const auto it = workers_.find(stream->worker);
  if (it == workers_.end() || it->second != stream) return;  // a newer stream took over
  if (message.has_heartbeat()) {
    // Acknowledged also while the database cannot be written: gangs must not die of it.
    runner_.Heartbeat(
        {stream->worker, FromProto(message.heartbeat().running())},
        [this, stream, arrived = stream->arrived()](const Reply& reply, const Core& core) {
          if (HasReason(reply.status, reason::kNotLeader)) return stream->Close(reply.status);
          Acknowledge(*stream, core.workers().size());
          metrics_.heartbeat.Observe(absl::ToDoubleSeconds(Clock::Real().Steady() - arrived));
        });
  } else if (message.has_rank()) {
    Rank(stream, message.rank());
  } else if (message.has_activities()) {
    runner_.Post(FromProto(stream->worker, message.activities()));
  } else if (message.has_logs()) {
    return Logs(stream, message.logs());
  }
  stream->Read();
}

void AgentStreams::Acknowledge(Stream& stream, size_t workers) {
  CoordinatorMessage ack;
  const std::set<int64_t>& unknown = stream.exits_unknown;
  ack.mutable_ack()->set_exits_known(unknown.empty() ? stream.exits : *unknown.begin() - 1);
  const absl::Duration period = HeartbeatPeriod(options_, workers);
  if (std::exchange(stream.heartbeat, period) != period)
    SetDuration(period, ack.mutable_ack()->mutable_heartbeat_period());
  stream.Send(std::move(ack));
}

void AgentStreams::Hello(const std::shared_ptr<Stream>& stream, const internal::v1::Hello& hello) {
  if (const absl::Status status = CheckHello(hello); !status.ok()) return stream->Close(status);
  if (!stream->worker.empty())
    return stream->Close(Refused("hello comes once", "hello", "dial again"));
  stream->worker = hello.worker();
  std::shared_ptr<Stream>& current = workers_[hello.worker()];
  if (current) {
    current->Close(Error(absl::StatusCode::kAborted, reason::kInvalidArgument,
                         absl::StrCat("another agent took over as worker ", hello.worker()))
                       .Hint("give each machine a --name of its own"));
  }
  current = stream;
  LogInfo("worker_connected", {{"worker", hello.worker()},
                               {"address", hello.address()},
                               {"devices", hello.devices()},
                               {"running", hello.running_size()}});
  CoordinatorMessage welcome;
  stream->heartbeat = HeartbeatPeriod(options_, runner_.core().workers().size());
  SetDuration(stream->heartbeat, welcome.mutable_welcome()->mutable_heartbeat_period());
  SetDuration(options_.lease, welcome.mutable_welcome()->mutable_lease());
  SetDuration(options_.activity_period, welcome.mutable_welcome()->mutable_activity_period());
  Worker worker;
  worker.name = hello.worker();
  worker.hostname = hello.hostname();
  worker.address = hello.address();
  worker.devices = hello.devices();
  worker.device_kind = hello.device_kind();
  worker.version = hello.version();
  worker.labels = {hello.labels().begin(), hello.labels().end()};
  worker.incarnation = hello.incarnation();
  // Who hears the welcome may count on the worker: what is asked then comes behind its hello.
  runner_.Post(command::WorkerHello{std::move(worker), FromProto(hello.running())});
  stream->Send(std::move(welcome));
}

void AgentStreams::Rank(const std::shared_ptr<Stream>& stream,
                        const internal::v1::RankReport& report) {
  const std::string& worker = stream->worker;
  const RunningRank rank{report.attempt_id(), report.job(), report.rank()};
  if (report.state() == internal::v1::RankReport::STATE_STARTED) {
    runner_.Post(command::RankStarted{worker, rank});
  } else if (report.state() == internal::v1::RankReport::STATE_EXITED) {
    command::RankExited exited{worker, rank, report.exit_code(), report.reason(), report.message()};
    exited.lines = {report.last_lines().begin(), report.last_lines().end()};
    exited.oom_killed = report.oom_killed();
    exited.device_fault = report.device_fault();
    if (report.has_prompted()) exited.prompted = report.prompted();
    stream->exits_unknown.insert(++stream->exits);
    Exited(stream, stream->exits, std::move(exited));
  }
}

// The agent keeps its report until this is on disk. Said twice it changes nothing.
void AgentStreams::Exited(const std::shared_ptr<Stream>& stream, int64_t number,
                          command::RankExited exited) {
  runner_.Post(exited, [this, stream, number, exited](const Reply& reply, const Core&) mutable {
    if (reply.status.ok()) {
      stream->exits_unknown.erase(number);
    } else if (!HasReason(reply.status, reason::kNotLeader)) {
      runner_.loop().After(kExitRetry,
                           [this, stream, number, exited = std::move(exited)]() mutable {
                             const auto it = workers_.find(stream->worker);
                             if (it != workers_.end() && it->second == stream)
                               Exited(stream, number, std::move(exited));
                           });
    }
  });
}

void AgentStreams::Logs(const std::shared_ptr<Stream>& stream,
                        const internal::v1::LogLines& lines) {
  std::map<std::string, std::vector<LogRecord>> by_job;
  for (const auto& line : lines.lines()) {
    absl::string_view job = line.job();
    absl::ConsumePrefix(&job, "jobs/");
    by_job[std::string(job)].push_back(
        {coordinator::FromProto(line.time()), line.attempt(), line.rank(), line.text()});
  }
  std::erase_if(by_job,
                [&](const auto& item) { return !runner_.core().jobs().contains(item.first); });
  writer_.Post([this, stream, by_job = std::move(by_job)] {
    for (const auto& [job, records] : by_job) {
      if (const absl::Status status = logs_.Append(job, records); !status.ok()) {
        LogWarn("log_lines_dropped",
                {{"job", job}, {"lines", records.size()}, {"error", StatusText(status)}});
      }
      feed_.Notify(job);
    }
    stream->Read();
  });
}

void AgentStreams::Ended(const std::shared_ptr<Stream>& stream) {
  const auto it = workers_.find(stream->worker);
  if (it == workers_.end() || it->second != stream) return;
  LogInfo("worker_disconnected", {{"worker", stream->worker}});
  workers_.erase(it);
  runner_.Post(command::WorkerGone{stream->worker});
}

}  // namespace seer::coordinator
