#include "worker/agent/agent.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/notification.h"
#include "common/base/address.h"
#include "common/base/await.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/status_macros.h"
#include "common/base/trainer_exit.h"
#include "common/rpc/channel.h"
#include "common/trace/tracer.h"
#include "worker/agent/activities.h"
#include "worker/agent/assignment.h"
#include "worker/agent/device_faults.h"
#include "worker/agent/devices.h"
#include "worker/agent/last_lines.h"
#include "worker/agent/lease.h"
#include "worker/agent/link.h"
#include "worker/agent/log_shipper.h"
#include "worker/agent/messages.h"
#include "worker/agent/oom_watch.h"
#include "worker/agent/rank_metrics.h"
#include "worker/agent/supervisor.h"
#include "worker/agent/work_dir.h"

namespace seer::worker {
namespace {

using internal::v1::AgentMessage;
using internal::v1::CoordinatorMessage;

// As seer-trainer takes them: paths alone, other processes may see them.
void AddSecurityArguments(const SecurityOptions& options, std::vector<std::string>& command) {
  for (const auto& [flag, file] : {std::pair{"--tls-ca", options.ca},
                                   {"--tls-cert", options.certificate},
                                   {"--tls-key", options.key},
                                   {"--token-file", options.token_file}}) {
    if (file.empty()) continue;
    command.push_back(flag);
    command.push_back(std::filesystem::absolute(file).string());
  }
}

constexpr absl::Duration kMinHeartbeat = absl::Milliseconds(10);
constexpr absl::Duration kStopGrace = absl::Minutes(10);  // of a Stop that says none
constexpr absl::Duration kKillTime = absl::Seconds(5);    // for SIGKILL to end what is left
// For the coordinator to acknowledge the last reports. It gives a leaving agent nothing for 3 s.
constexpr absl::Duration kFarewell = absl::Seconds(2);
constexpr int kCannotStart = 127;
// Log lines beyond this wait in the shipper, which drops the oldest.
constexpr size_t kUnsentLogBytes = 1 << 20;

class AgentImpl final : public Agent {
 public:
  AgentImpl(const AgentConfig& config, std::shared_ptr<const ClientSecurity> security,
            std::unique_ptr<WorkDir> work_dir, MetricsRegistry& metrics)
      : config_(config),
        security_(std::move(security)),
        work_dir_(std::move(work_dir)),
        clock_(Clock::Real()),
        incarnation_(absl::StrCat(::getpid(), "-", absl::ToUnixMicros(clock_.Now()))),
        up_(metrics.AddGauge("seer_worker_up",
                             "1 while the coordinator acknowledges this agent's heartbeats.")),
        ranks_running_(metrics.AddGauge("seer_worker_ranks", "Trainer processes that run here.")),
        lease_(clock_.Steady()),
        shipper_(metrics),
        device_faults_(config.device_kind == "cuda" ? config.kernel_log : "",
                       DeviceAddresses(config.gpus, VisibleDevices(), config.devices)),
        loop_("agent", clock_) {
    metrics.AddSource([ranks = rank_metrics_] { return ranks->Texts(); });
    // On the loop: what they call back waits behind this, and finds both.
    OnLoop([this] {
      supervisor_ = std::make_unique<Supervisor>(SupervisorCallbacks{
          [this](int64_t key, int code) { loop_.Post([this, key, code] { Exited(key, code); }); },
          [this](int64_t key, std::string line) {
            loop_.Post(
                [this, key, line = std::move(line)]() mutable { TakeLine(key, std::move(line)); });
          }});
      link_ = std::make_unique<Link>(config_.coordinator, security_, Callbacks());
      Beat();
      return true;
    });
  }

  ~AgentImpl() override {
    OnLoop([this] {
      leaving_ = true;
      SignalRunning(SIGTERM);
      return true;
    });
    const auto all_ended = [this] { return table_.Running().empty(); };
    if (!WaitUntil(config_.grace, all_ended)) {
      loop_.Post([this] { SignalRunning(SIGKILL); });
      WaitUntil(kKillTime, all_ended);
    }
    loop_.Post([this] { SendHeartbeat(); });
    WaitUntil(kFarewell, [this] { return table_.entries().empty() || !lease_.connected(); });
    link_->Stop();  // while the loop runs, which its callbacks wait for and which still sends
    loop_.Stop();
    link_.reset();
    supervisor_.reset();
  }

 private:
  LinkCallbacks Callbacks() {
    return {[this] { return OnLoop([this] { return Hello(); }); },
            [this](CoordinatorMessage message) {
              loop_.Post([this, message = std::move(message)] { Received(message); });
            },
            [this](std::deque<AgentMessage> unsent) {
              loop_.Post([this, unsent = std::move(unsent)] { Closed(unsent); });
            }};
  }

  // Runs `body` on the loop and waits for its result.
  template <typename Body>
  auto OnLoop(Body body) -> decltype(body()) {
    absl::Notification done;
    std::optional<decltype(body())> result;
    loop_.Post([&] {
      result = body();
      done.Notify();
    });
    done.WaitForNotification();
    return std::move(*result);
  }

  // Waits until `done`, asked on the loop after every change there, says so. False: `limit` passed.
  bool WaitUntil(absl::Duration limit, const std::function<bool()>& done) {
    const absl::Duration deadline = clock_.Steady() + limit;
    while (!OnLoop(done)) {
      absl::MutexLock lock(&mu_);
      if (!AwaitFor(mu_, absl::Condition(&changed_), deadline - clock_.Steady())) return false;
      changed_ = false;
    }
    return true;
  }
  void Changed() {
    ranks_running_.Set(static_cast<double>(table_.Running().size()));
    absl::MutexLock lock(&mu_);
    changed_ = true;
  }

  AgentMessage Hello() {
    table_.StreamOpened();
    AgentMessage message;
    *message.mutable_hello() = DescribeMachine(config_, incarnation_);
    // Also those that have ended but whose end the coordinator may not know: their report follows.
    AddRunning(table_, *message.mutable_hello());
    return message;
  }

  template <typename Message>
  void SetHeartbeat(const Message& message) {
    if (message.has_heartbeat_period())
      heartbeat_ = std::max(FromProto(message.heartbeat_period()), kMinHeartbeat);
  }

  void Received(const CoordinatorMessage& message) {
    switch (message.message_case()) {
      case CoordinatorMessage::kWelcome:
        SetHeartbeat(message.welcome());
        if (message.welcome().has_activity_period())
          look_period_ = std::max(FromProto(message.welcome().activity_period()), kMinHeartbeat);
        lease_.Welcomed(clock_.Steady(), FromProto(message.welcome().lease()));
        up_.Set(1);
        SendLines(Link::kMaxUnsentBytes);  // of a rank that ended meanwhile: before its end
        SendExits();
        Look();
        return Beat();  // at the coordinator's period from now on
      case CoordinatorMessage::kAck:
        if (message.ack().has_heartbeat_period()) {
          SetHeartbeat(message.ack());
          BeatLater();
        }
        lease_.Acknowledged(clock_.Steady());
        up_.Set(1);
        said_lost_ = false;
        if (table_.HeartbeatAcknowledged(message.ack().has_exits_known()
                                             ? std::optional(message.ack().exits_known())
                                             : std::nullopt))
          Changed();
        return;
      case CoordinatorMessage::kAssign:
        return Start(message.assign());
      case CoordinatorMessage::kStop:
        return Stop(message.stop());
      case CoordinatorMessage::kInspect:
        return SendActivities(message.inspect().attempt_id());
      default:
        return;
    }
  }

  void Closed(const std::deque<AgentMessage>& unsent) {
    lease_.Disconnected();
    table_.StreamClosed();
    for (auto message = unsent.rbegin(); message != unsent.rend(); ++message)
      if (message->has_logs()) shipper_.PutBack(message->logs());
    Changed();
  }

  // Once a heartbeat period: heartbeat, logs, lease.
  void Beat() {
    SendHeartbeat();
    SendLines(kUnsentLogBytes);
    link_->LeaveSilent(lease_.SilenceLimit());
    const absl::Duration now = clock_.Steady();
    if (!lease_.Held(now)) up_.Set(0);
    if (lease_.Lost(now)) {
      if (!std::exchange(said_lost_, true) && !table_.Running().empty())
        LogError("lease_lost", {{"silent_seconds", absl::ToDoubleSeconds(lease_.Silence(now))},
                                {"action", "killing all ranks"}});
      SignalRunning(SIGKILL);
    }
    BeatLater();
  }
  // The one that was planned before falls away.
  void BeatLater() {
    loop_.After(heartbeat_, [this, turn = ++last_beat_] {
      if (turn == last_beat_) Beat();
    });
  }

  // Once an activity period: what the ranks do.
  void Look() {
    SendActivities(std::nullopt);
    loop_.After(look_period_, [this, turn = ++last_look_] {
      if (turn == last_look_) Look();
    });
  }

  // Of all ranks, or those of one attempt.
  void SendActivities(std::optional<int64_t> attempt_id) {
    if (!lease_.connected()) return;
    const AgentMessage message = activities_.Report(table_, clock_.Steady(), attempt_id);
    if (attempt_id || message.activities().ranks_size() > 0) link_->Send(message);
  }

  void SendHeartbeat() {
    if (lease_.connected() && link_->Send(HeartbeatOf(table_))) table_.HeartbeatSent();
  }

  void Start(internal::v1::Assign assign) {
    const Assignment assignment = FromProto(assign);
    const LogField job{"job", assignment.job}, attempt{"attempt", assignment.attempt_id},
        rank{"rank", assignment.rank};
    const AssignmentTable::Taken taken = table_.Take(assignment);
    if (taken.verdict == AssignmentTable::Verdict::kKnown) return;
    if (taken.verdict == AssignmentTable::Verdict::kStale)
      return LogWarn("stale_assignment_refused", {job, attempt, rank});
    spans_[taken.key] = RankSpan(assign);
    const WithinTrace scope(spans_[taken.key].context());
    if (leaving_) {  // a gang's other ranks must not wait for one that never comes
      const int code = assign.world_size() == 1 ? kExitPaused : kExitCollective;
      return Ended(taken.key, {code, std::string(reason::kShuttingDown), "its agent shuts down"});
    }
    if (taken.verdict == AssignmentTable::Verdict::kWait) {
      LogInfo("rank_waits_for_device", {job, attempt, rank});
      waiting_[taken.key] = std::move(assign);
      return Changed();
    }
    Launch(taken.key, std::move(assign));
  }

  // The rank's device is its own.
  void Launch(int64_t key, internal::v1::Assign assign) {
    const Assignment assignment = FromProto(assign);
    const int device = *table_.Find(key)->device;
    const WithinTrace scope(spans_[key].context());
    if (assign.coordinator_address().empty()) assign.set_coordinator_address(config_.coordinator);
    assign.set_device(DeviceName(config_, device));
    assign.set_traceparent(FormatTraceparent(CurrentTrace()));
    if (const absl::Status written = work_dir_->WriteAssignment(assign); !written.ok()) {
      return Ended(
          key, {kCannotStart, std::string(reason::kStorageFailed), std::string(written.message())});
    }
    WatchRank(key, assignment);
    if (table_.Running().size() == 1) oom_watch_.Forget();  // what was before concerns no rank
    device_faults_.Forget(device);
    LogInfo("rank_started", {{"job", assignment.job},
                             {"attempt", assignment.attempt_id},
                             {"rank", assignment.rank},
                             {"device", assign.device()}});
    const std::string path = work_dir_->AssignmentPath(assignment.attempt_id, assignment.rank);
    rank_metrics_->Watch(key,
                         {{"job", std::string(absl::StripPrefix(assignment.job, "jobs/"))},
                          {"rank", absl::StrCat(assignment.rank)}},
                         WorkDir::MetricsPortFile(path));
    Command command{{config_.trainer, "--assignment", path}, /*hold_sigterm=*/true};
    if (config_.peak_flops > 0)
      command.arguments.insert(command.arguments.end(),
                               {"--peak-flops", absl::StrCat(config_.peak_flops)});
    if (!config_.otlp_endpoint.empty())
      command.arguments.insert(command.arguments.end(), {"--otlp-endpoint", config_.otlp_endpoint});
    AddSecurityArguments(config_.security, command.arguments);
    supervisor_->Start(key, std::move(command));
    link_->Send(StartedReport(assignment));
    Changed();
  }

  // From here to the rank's exit: what the trainer does belongs to it.
  static Span RankSpan(const internal::v1::Assign& assign) {
    const TraceContext attempt = TraceContextOf(assign.traceparent());
    if (!attempt.valid()) return Span();  // the agent begins no trace
    Span span = Span::Begin("rank", SpanKind::kInternal, attempt);
    span.Set("seer.job", assign.job());
    span.Set("seer.attempt", int64_t{assign.attempt()});
    span.Set("seer.rank", int64_t{assign.rank()});
    return span;
  }
  void EndRankSpan(int64_t key, const RankExit& exit) {
    Span span = std::move(spans_[key]);
    spans_.erase(key);
    span.Set("process.exit.code", int64_t{exit.exit_code});
    if (exit.exit_code != kExitDone && exit.exit_code != kExitPaused) {
      span.Set("error.type", exit.reason.empty() ? "EXIT" : exit.reason);
      span.Fail(exit.message);
    }
  }

  // Without a flight recorder it runs all the same.
  void WatchRank(int64_t key, const Assignment& assignment) {
    const absl::StatusOr<std::string> memory = activities_.Watch(key);
    const absl::Status linked =
        memory.ok() ? work_dir_->LinkFlight(assignment.attempt_id, assignment.rank, *memory)
                    : memory.status();
    if (!linked.ok()) LogWarn("rank_not_watched", {{"error", StatusText(linked)}});
  }

  void Stop(const internal::v1::Stop& stop) {
    const absl::Duration grace = stop.has_grace() ? FromProto(stop.grace()) : kStopGrace;
    for (int64_t key : table_.RunningOf(stop.attempt_id())) {
      if (stop.kill() && !prompted_.contains(key)) LogFlight(key);
      SignalRank(key, stop.kill() ? SIGKILL : SIGTERM);
      if (!stop.kill()) loop_.After(grace, [this, key] { SignalRank(key, SIGKILL); });
    }
  }

  // What a rank that is killed did last, among its lines.
  void LogFlight(int64_t key) {
    std::string line = activities_.LastEvents(key, clock_.Steady());
    if (!line.empty()) shipper_.Take(table_.Find(key)->assignment, clock_.Now(), std::move(line));
  }

  void Exited(int64_t key, int exit_code) {
    const AssignmentTable::Entry* const entry = table_.Find(key);
    if (entry == nullptr) return;
    RankExit exit{exit_code, "", ""};
    const auto word = work_dir_->TakeLastWord(entry->assignment.attempt_id, entry->assignment.rank);
    if (exit_code != kExitDone) exit.last_lines = std::move(last_lines_[key]).Take();
    last_lines_.erase(key);
    rank_metrics_->Forget(key);
    exit.prompted = prompted_.erase(key) > 0;
    exit.device_fault = device_faults_.Newest(*entry->device);
    exit.oom_killed = exit_code == 128 + SIGKILL && oom_watch_.TakeOne();
    if (word) {
      exit.reason = word->reason;
      exit.message = word->message;
    } else if (exit_code != 0 && !exit.last_lines.empty()) {
      exit.message = absl::StrCat("last line: ", exit.last_lines.back());
    }
    Ended(key, std::move(exit));
  }

  void Ended(int64_t key, RankExit exit) {
    const Assignment& assignment = table_.Find(key)->assignment;
    const WithinTrace scope(spans_[key].context());
    EndRankSpan(key, exit);
    LogInfo("rank_exited", {{"job", assignment.job},
                            {"attempt", assignment.attempt_id},
                            {"rank", assignment.rank},
                            {"exit_code", exit.exit_code},
                            {"reason", exit.reason},
                            {"device_fault", exit.device_fault},
                            {"message", exit.message}});
    activities_.Forget(key);
    table_.Exited(key, std::move(exit));
    SendLines(Link::kMaxUnsentBytes);  // its last lines go before its end
    SendExits();
    Changed();
    while (const auto next = table_.GiveDevice()) {
      internal::v1::Assign assign = std::move(waiting_.at(*next));
      waiting_.erase(*next);
      Launch(*next, std::move(assign));
    }
  }

  void SendExits() {
    if (!lease_.connected()) return;
    for (int64_t key : table_.UnsentExits()) {
      const AssignmentTable::Entry& entry = *table_.Find(key);
      if (link_->Send(ExitReport(entry.assignment, *entry.exit))) table_.ExitSent(key);
    }
  }

  void TakeLine(int64_t key, std::string text) {
    const AssignmentTable::Entry* const entry = table_.Find(key);
    if (entry == nullptr) return;
    last_lines_[key].Add(text);
    shipper_.Take(entry->assignment, clock_.Now(), std::move(text));
    if (shipper_.held() >= LogShipper::kLinesAMessage) SendLines(kUnsentLogBytes);
  }

  void SendLines(size_t most_unsent_bytes) {
    if (!lease_.connected()) return;
    shipper_.Ship([&] { return link_->unsent_bytes() < most_unsent_bytes; },
                  [&](const AgentMessage& message) { return link_->Send(message); });
  }

  void SignalRunning(int signal) {
    for (int64_t key : table_.Running()) SignalRank(key, signal);
  }

  void SignalRank(int64_t key, int signal) {
    const AssignmentTable::Entry* const entry = table_.Find(key);
    if (entry == nullptr || entry->exit) return;
    if (const auto waits = waiting_.extract(key)) {  // there is no process yet
      const bool alone = signal == SIGTERM && waits.mapped().world_size() == 1;
      RankExit exit{alone ? kExitPaused : 128 + signal, "", "it had not started"};
      exit.prompted = true;
      return Ended(key, std::move(exit));
    }
    prompted_.insert(key);
    supervisor_->Signal(key, signal);
  }

  const AgentConfig config_;
  const std::shared_ptr<const ClientSecurity> security_;
  const std::unique_ptr<WorkDir> work_dir_;
  Clock& clock_;
  const std::string incarnation_;
  Gauge& up_;
  Gauge& ranks_running_;
  // Shared with the registry, which may outlive this.
  const std::shared_ptr<RankMetrics> rank_metrics_ = std::make_shared<RankMetrics>();
  absl::Mutex mu_;
  bool changed_ ABSL_GUARDED_BY(mu_) = false;

  // The loop's own.
  absl::Duration heartbeat_ = absl::Seconds(1), look_period_ = absl::Seconds(10);
  int64_t last_beat_ = 0;  // a beat that another one came before does nothing
  int64_t last_look_ = 0;
  Lease lease_;
  AssignmentTable table_{config_.devices};
  Activities activities_;
  LogShipper shipper_;
  std::map<int64_t, LastLines> last_lines_;          // of ranks that run
  std::set<int64_t> prompted_;                       // ranks that run and were sent a signal
  std::map<int64_t, Span> spans_;                    // of ranks that run
  std::map<int64_t, internal::v1::Assign> waiting_;  // of ranks that wait for a device
  OomWatch oom_watch_;
  DeviceFaults device_faults_;
  bool said_lost_ = false;  // since the last acknowledgement
  bool leaving_ = false;

  ThreadLoop loop_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<Link> link_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(const AgentConfig& config,
                                                    MetricsRegistry& metrics) {
  if (config.devices < 1 || config.devices > 1024) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("--devices is ", config.devices, ", must be from 1 to 1024"))
        .Field("devices");
  }
  if (config.device_kind != "cpu" && config.device_kind != "cuda") {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("--device-kind is ", config.device_kind, ", must be cpu or cuda"))
        .Field("device_kind");
  }
  if (!(config.peak_flops >= 0)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("--device-peak-flops is ", config.peak_flops, ", must be at least 0"))
        .Field("device_peak_flops")
        .Hint("what one device can do in a second, for example 989e12");
  }
  if (::access(config.trainer.c_str(), X_OK) != 0) {
    return Error(absl::StatusCode::kNotFound, reason::kInvalidArgument,
                 absl::StrCat("cannot run the trainer ", config.trainer))
        .Field("trainer")
        .Hint("seer-trainer lies beside seer-worker; or name it with --trainer PATH");
  }
  const std::vector<std::string> coordinators = SplitAddresses(config.coordinator);
  SEER_RETURN_IF_ERROR(CheckAddresses("--coordinator", coordinators));
  SEER_RETURN_IF_ERROR(CheckTokenIsSafe(config.security, coordinators));
  SEER_ASSIGN_OR_RETURN(auto security, ClientSecurity::Open(config.security));
  SEER_ASSIGN_OR_RETURN(auto work_dir, WorkDir::Open(config.work_dir));
  return std::unique_ptr<Agent>(
      std::make_unique<AgentImpl>(config, std::move(security), std::move(work_dir), metrics));
}

}  // namespace seer::worker
