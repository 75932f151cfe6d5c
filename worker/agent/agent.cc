#include "worker/agent/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"
#include "worker/agent/link.h"
#include "worker/agent/supervisor.h"
#include "worker/exit_codes.h"

namespace seer::worker {
namespace {

namespace fs = std::filesystem;
using internal::v1::AgentMessage;
using internal::v1::Assign;
using internal::v1::CoordinatorMessage;
using internal::v1::RankReport;

// While the coordinator is merely away (restarting, network), ranks train on for so many leases;
// while it is connected but does not acknowledge, one lease is enough: it has given them up.
constexpr int kLeasesUnreachable = 10;
constexpr size_t kMaxHeldLines =
    10000;  // log lines that wait for a connection; the oldest go first
constexpr size_t kLinesAMessage = 500;

struct RankProcess {
  Assign assign;
  std::string assignment_path;
  bool exited = false;
  RankReport exit;  // if it has
  int64_t exit_sent_after =
      -1;  // heartbeats sent on this stream before the exit was; -1: not sent on this stream
};

class AgentImpl final : public Agent {
 public:
  AgentImpl(const AgentConfig& config, MetricsRegistry& metrics)
      : config_(config),
        clock_(Clock::Real()),
        incarnation_(absl::StrCat(::getpid(), "-", absl::ToUnixMicros(clock_.Now()))),
        up_(metrics.AddGauge("seer_worker_up",
                             "1 while the coordinator acknowledges this agent's heartbeats.")),
        ranks_running_(metrics.AddGauge("seer_worker_ranks", "Trainer processes that run here.")),
        dropped_lines_(metrics.AddCounter(
            "seer_worker_dropped_log_lines_total",
            "Log lines that were not shipped: the coordinator was away for too long.")),
        loop_("agent", clock_) {
    last_ack_ = clock_.Steady();
    supervisor_ = std::make_unique<Supervisor>(SupervisorCallbacks{
        [this](int64_t key, int code) { loop_.Post([this, key, code] { Exited(key, code); }); },
        [this](int64_t key, std::string line) {
          loop_.Post(
              [this, key, line = std::move(line)]() mutable { TakeLine(key, std::move(line)); });
        }});
    link_ = std::make_unique<Link>(
        config.coordinator,
        LinkCallbacks{[this] { return OnLoop([this] { return Hello(); }); },
                      [this](CoordinatorMessage message) {
                        loop_.Post([this, message = std::move(message)] { Received(message); });
                      },
                      [this] { loop_.Post([this] { Closed(); }); }});
    loop_.Post([this] { Beat(); });
  }

  ~AgentImpl() override {
    loop_.Post([this] { SignalAll(SIGTERM); });
    const absl::Duration deadline = clock_.Steady() + config_.grace;
    while (OnLoop([this] { return AnyRunning(); }) && clock_.Steady() < deadline) {
      absl::MutexLock lock(&mu_);
      mu_.AwaitWithTimeout(absl::Condition(&some_exited_), deadline - clock_.Steady());
      some_exited_ = false;
    }
    OnLoop([this] {  // the last reports
      SendExits();
      return true;
    });
    link_.reset();
    loop_.Stop();
    supervisor_.reset();
  }

 private:
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

  AgentMessage Hello() {
    sent_beats_ = acked_beats_ = 0;
    AgentMessage message;
    auto& hello = *message.mutable_hello();
    char hostname[256] = "";
    ::gethostname(hostname, sizeof(hostname) - 1);
    hello.set_worker(config_.name);
    hello.set_hostname(hostname);
    hello.set_address(config_.address);
    hello.set_devices(config_.devices);
    hello.set_device_kind("cpu");
    hello.set_version(SEER_VERSION);
    hello.set_incarnation(incarnation_);
    // Also those that have ended but whose end the coordinator may not know: their report follows.
    for (auto& [key, rank] : ranks_) {
      rank.exit_sent_after = -1;
      SetRunning(rank, *hello.add_running());
    }
    return message;
  }

  static void SetRunning(const RankProcess& rank, internal::v1::RunningRank& running) {
    running.set_attempt_id(rank.assign.attempt_id());
    running.set_job(rank.assign.job());
    running.set_rank(rank.assign.rank());
  }

  void Received(const CoordinatorMessage& message) {
    switch (message.message_case()) {
      case CoordinatorMessage::kWelcome:
        connected_ = true;
        heartbeat_ = absl::Seconds(message.welcome().heartbeat_period().seconds()) +
                     absl::Nanoseconds(message.welcome().heartbeat_period().nanos());
        lease_ = absl::Seconds(message.welcome().lease().seconds()) +
                 absl::Nanoseconds(message.welcome().lease().nanos());
        Acknowledged();
        SendExits();
        return;
      case CoordinatorMessage::kAck:
        ++acked_beats_;
        Acknowledged();
        ForgetReported();
        return;
      case CoordinatorMessage::kAssign:
        return Start(message.assign());
      case CoordinatorMessage::kStop:
        return Stop(message.stop());
      default:
        return;
    }
  }

  void Acknowledged() {
    last_ack_ = clock_.Steady();
    fenced_ = false;
    up_.Set(1);
  }

  void Closed() {
    connected_ = false;
    for (auto& [key, rank] : ranks_) rank.exit_sent_after = -1;
  }

  // Once a heartbeat period: heartbeat, logs, lease.
  void Beat() {
    if (connected_) {
      AgentMessage message;
      message.mutable_heartbeat();
      for (auto& [key, rank] : ranks_)
        SetRunning(rank, *message.mutable_heartbeat()->add_running());
      if (link_->Send(message)) ++sent_beats_;
      SendLines();
    }
    const absl::Duration silence = clock_.Steady() - last_ack_;
    if (!fenced_ && silence > (connected_ ? lease_ : lease_ * kLeasesUnreachable)) {
      fenced_ = true;
      up_.Set(0);
      if (AnyRunning())
        LogError("lease_lost", {{"silent_seconds", absl::ToDoubleSeconds(silence)},
                                {"action", "killing all ranks"}});
      SignalAll(SIGKILL);
    }
    loop_.After(heartbeat_, [this] { Beat(); });
  }

  void Start(const Assign& assign) {
    for (const auto& [key, rank] : ranks_) {
      if (rank.assign.attempt_id() == assign.attempt_id() && rank.assign.rank() == assign.rank())
        return;  // said twice
    }
    if (assign.attempt_id() < newest_attempt_[assign.job()]) {
      LogWarn("stale_assignment_refused",
              {{"job", assign.job()}, {"attempt", assign.attempt_id()}});
      return;
    }
    newest_attempt_[assign.job()] = assign.attempt_id();
    const int64_t key = ++last_key_;
    RankProcess& rank = ranks_[key];
    rank.assign = assign;
    if (rank.assign.coordinator_address().empty())
      rank.assign.set_coordinator_address(config_.coordinator);
    rank.assignment_path = absl::StrCat(config_.work_dir, "/ranks/attempt-", assign.attempt_id(),
                                        "-rank-", assign.rank());
    std::error_code error;
    fs::create_directories(fs::path(rank.assignment_path).parent_path(), error);
    fs::remove(rank.assignment_path + ".exit", error);
    std::ofstream file(rank.assignment_path, std::ios::binary | std::ios::trunc);
    rank.assign.SerializeToOstream(&file);
    file.close();
    if (!file) {
      Ended(rank, kExitStorage, std::string(reason::kStorageFailed),
            absl::StrCat("the agent cannot write ", rank.assignment_path));
      return;
    }
    LogInfo("rank_started",
            {{"job", assign.job()}, {"attempt", assign.attempt_id()}, {"rank", assign.rank()}});
    supervisor_->Start(key, {config_.trainer, "--assignment", rank.assignment_path});
    AgentMessage message;
    FillReport(rank, *message.mutable_rank(), RankReport::STATE_STARTED);
    link_->Send(message);
    CountRanks();
  }

  void Stop(const internal::v1::Stop& stop) {
    const absl::Duration grace =
        stop.has_grace() ? absl::Seconds(stop.grace().seconds()) : absl::Minutes(10);
    for (const auto& [key, rank] : ranks_) {
      if (rank.assign.attempt_id() != stop.attempt_id() || rank.exited) continue;
      supervisor_->Signal(key, stop.kill() ? SIGKILL : SIGTERM);
      if (!stop.kill())
        loop_.After(grace, [this, key = key] { supervisor_->Signal(key, SIGKILL); });
    }
  }

  static void FillReport(const RankProcess& rank, RankReport& report, RankReport::State state) {
    report.set_attempt_id(rank.assign.attempt_id());
    report.set_job(rank.assign.job());
    report.set_rank(rank.assign.rank());
    report.set_state(state);
  }

  void Exited(int64_t key, int exit_code) {
    const auto it = ranks_.find(key);
    if (it == ranks_.end()) return;
    std::string why, message;
    std::ifstream file(it->second.assignment_path + ".exit");
    std::stringstream text;
    text << file.rdbuf();
    const auto word = nlohmann::json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
    if (word.is_object()) {
      why = word.value("reason", "");
      message = word.value("message", "");
    } else if (exit_code != 0 && !last_line_[key].empty()) {
      message = absl::StrCat("last line: ", last_line_[key]);
    }
    Ended(it->second, exit_code, why, message);
    last_line_.erase(key);
    absl::MutexLock lock(&mu_);
    some_exited_ = true;
  }

  void Ended(RankProcess& rank, int exit_code, const std::string& why, const std::string& message) {
    LogInfo("rank_exited", {{"job", rank.assign.job()},
                            {"attempt", rank.assign.attempt_id()},
                            {"rank", rank.assign.rank()},
                            {"exit_code", exit_code},
                            {"reason", why},
                            {"message", message}});
    rank.exited = true;
    FillReport(rank, rank.exit, RankReport::STATE_EXITED);
    rank.exit.set_exit_code(exit_code);
    rank.exit.set_reason(why);
    rank.exit.set_message(message.substr(0, 2000));
    std::error_code ignored;
    fs::remove(rank.assignment_path, ignored);
    fs::remove(rank.assignment_path + ".exit", ignored);
    SendLines();
    SendExits();
    CountRanks();
  }

  void SendExits() {
    if (!connected_) return;
    for (auto& [key, rank] : ranks_) {
      if (!rank.exited || rank.exit_sent_after >= 0) continue;
      AgentMessage message;
      *message.mutable_rank() = rank.exit;
      if (link_->Send(message)) rank.exit_sent_after = sent_beats_;
    }
  }

  // A heartbeat that was sent after the report has been acknowledged: so has the report.
  void ForgetReported() {
    for (auto it = ranks_.begin(); it != ranks_.end();) {
      const bool known = it->second.exited && it->second.exit_sent_after >= 0 &&
                         acked_beats_ > it->second.exit_sent_after;
      it = known ? ranks_.erase(it) : std::next(it);
    }
  }

  void TakeLine(int64_t key, std::string text) {
    const auto it = ranks_.find(key);
    if (it == ranks_.end()) return;
    internal::v1::LogLines::Line line;
    const int64_t now = absl::ToUnixNanos(clock_.Now());
    line.mutable_time()->set_seconds(now / 1'000'000'000);
    line.mutable_time()->set_nanos(static_cast<int32_t>(now % 1'000'000'000));
    line.set_job(it->second.assign.job());
    line.set_attempt_id(it->second.assign.attempt_id());
    line.set_attempt(it->second.assign.attempt());
    line.set_rank(it->second.assign.rank());
    for (char& c : text)
      if (static_cast<unsigned char>(c) < 0x20 && c != '\t') c = ' ';
    last_line_[key] = text;
    if (!IsUtf8(text))
      for (char& c : text)
        if (static_cast<unsigned char>(c) >= 0x80) c = '?';  // protobuf text must be UTF-8
    line.set_text(std::move(text));
    if (lines_.size() >= kMaxHeldLines) {
      lines_.pop_front();
      dropped_lines_.Add();
    }
    lines_.push_back(std::move(line));
    if (lines_.size() >= kLinesAMessage) SendLines();
  }

  static bool IsUtf8(const std::string& text) {
    const auto json = nlohmann::json(text);
    try {
      (void)json.dump();
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  void SendLines() {
    while (connected_ && !lines_.empty()) {
      AgentMessage message;
      size_t count = 0;
      for (; count < std::min(lines_.size(), kLinesAMessage); ++count)
        *message.mutable_logs()->add_lines() = lines_[count];
      if (!link_->Send(message)) return;
      lines_.erase(lines_.begin(), lines_.begin() + static_cast<std::ptrdiff_t>(count));
    }
  }

  void SignalAll(int signal) {
    for (const auto& [key, rank] : ranks_)
      if (!rank.exited) supervisor_->Signal(key, signal);
  }
  bool AnyRunning() const {
    for (const auto& [key, rank] : ranks_)
      if (!rank.exited) return true;
    return false;
  }
  void CountRanks() {
    int running = 0;
    for (const auto& [key, rank] : ranks_) running += !rank.exited;
    ranks_running_.Set(running);
  }

  const AgentConfig config_;
  Clock& clock_;
  const std::string incarnation_;
  Gauge& up_;
  Gauge& ranks_running_;
  Counter& dropped_lines_;
  absl::Mutex mu_;
  bool some_exited_ ABSL_GUARDED_BY(mu_) = false;

  // The loop's own.
  absl::Duration heartbeat_ = absl::Seconds(1), lease_ = absl::Seconds(15), last_ack_;
  bool connected_ = false;  // welcomed on the present stream
  bool fenced_ = false;
  int64_t sent_beats_ = 0, acked_beats_ = 0;  // of the present stream
  int64_t last_key_ = 0;
  std::map<int64_t, RankProcess> ranks_;
  std::map<std::string, int64_t> newest_attempt_;  // by job
  std::map<int64_t, std::string> last_line_;
  std::deque<internal::v1::LogLines::Line> lines_;

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
  if (::access(config.trainer.c_str(), X_OK) != 0) {
    return Error(absl::StatusCode::kNotFound, reason::kInvalidArgument,
                 absl::StrCat("cannot run the trainer ", config.trainer))
        .Field("trainer")
        .Hint("seer-trainer lies beside seer-worker; or name it with --trainer PATH");
  }
  std::error_code error;
  fs::remove_all(fs::path(config.work_dir) / "ranks",
                 error);  // of an earlier life: its trainers died with it
  fs::create_directories(config.work_dir, error);
  if (error)
    return Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed,
                 absl::StrCat("cannot make ", config.work_dir, ": ", error.message()))
        .Field("work-dir")
        .Hint("choose a folder that can be written with --work-dir");
  return std::unique_ptr<Agent>(std::make_unique<AgentImpl>(config, metrics));
}

}  // namespace seer::worker
