#include "coordinator/server.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/access/guard.h"
#include "common/base/address.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"
#include "common/metrics/http.h"
#include "common/objectstore/open_store.h"
#include "common/otlp/telemetry.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "coordinator/http/http_front.h"
#include "coordinator/metrics.h"
#include "coordinator/services/access_service.h"
#include "coordinator/services/agent_streams.h"
#include "coordinator/services/audit_log.h"
#include "coordinator/services/audits_service.h"
#include "coordinator/services/change_feed.h"
#include "coordinator/services/checkpoint_files.h"
#include "coordinator/services/checkpoints_service.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/curve_store.h"
#include "coordinator/services/curves_service.h"
#include "coordinator/services/events_service.h"
#include "coordinator/services/job_maker.h"
#include "coordinator/services/job_sources.h"
#include "coordinator/services/job_spans.h"
#include "coordinator/services/jobs_service.h"
#include "coordinator/services/leadership.h"
#include "coordinator/services/log_retention.h"
#include "coordinator/services/log_store.h"
#include "coordinator/services/pool_lookup.h"
#include "coordinator/services/pool_watch.h"
#include "coordinator/services/profiles_service.h"
#include "coordinator/services/queues_service.h"
#include "coordinator/services/schedules_service.h"
#include "coordinator/services/specs_service.h"
#include "coordinator/services/storage_watch.h"
#include "coordinator/services/sweeps_service.h"
#include "coordinator/services/trainers_service.h"
#include "coordinator/services/webhooks.h"
#include "coordinator/services/workers_service.h"
#include "coordinator/store/database_url.h"
#include "coordinator/store/leader_lease.h"
#include "coordinator/store/store.h"

namespace seer::coordinator {
namespace {

constexpr absl::Duration kPoolWatchPeriod = absl::Seconds(5);
constexpr absl::Duration kStorageWatchPeriod = absl::Seconds(5);
constexpr absl::Duration kLogRetentionPeriod = absl::Minutes(10);
constexpr absl::Duration kForgetRetry = absl::Minutes(1);
constexpr absl::Duration kShortestLeaderLease = absl::Seconds(1);

// Trainers on other machines read it: absolute, with a scheme, without '/' at its end.
std::string StorageUri(std::string uri) {
  if (!absl::StrContains(uri, "://"))
    uri = absl::StrCat("file://", std::filesystem::absolute(uri).lexically_normal().string());
  while (uri.size() > 1 && uri.back() == '/') uri.pop_back();
  return uri;
}

// Empty: there is none.
absl::StatusOr<std::string> ReadSecret(const std::string& path, const std::string& field) {
  if (path.empty()) return std::string();
  return ReadSecretFile(path, field);
}

constexpr size_t kShortestBootstrapToken = 32;

// Who callers may be, beside the owners of tokens in the database.
struct Callers {
  TokenTable::Fixed fixed;
  std::unique_ptr<JwtVerifier> issuer;
};

absl::StatusOr<Callers> MakeCallers(const ServerConfig& config, const std::string& own_token) {
  Callers callers;
  if (!config.oidc.issuer.empty()) {
    SEER_ASSIGN_OR_RETURN(callers.issuer, JwtVerifier::Make(config.oidc, Clock::Real()));
  }
  SEER_ASSIGN_OR_RETURN(const std::string bootstrap,
                        ReadSecret(config.bootstrap_token_file, "bootstrap-token-file"));
  if (!bootstrap.empty() && bootstrap.size() < kShortestBootstrapToken) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("the token in ", config.bootstrap_token_file, " is too short"))
        .Field("bootstrap-token-file")
        .Hint("make one with `openssl rand -hex 32`");
  }
  if (!bootstrap.empty())
    callers.fixed.push_back({bootstrap, {"bootstrap", {{access::Role::kAdmin, "", ""}}}});
  // For data services, which ask whose it is.
  callers.fixed.push_back({own_token, {"coordinator", {{access::Role::kViewer, "", ""}}}});
  if (config.authenticate) return callers;
  for (const auto& [given, flag] :
       {std::pair{!config.bootstrap_token_file.empty(), "bootstrap-token-file"},
        std::pair{!config.oidc.issuer.empty(), "oidc-issuer"}}) {
    if (!given) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("--", flag, " says who callers may be, but nobody is asked"))
        .Field(flag)
        .Hint("give --auth tokens, too");
  }
  return callers;
}

std::string LogsFolder(const ServerConfig& config) {
  if (!config.logs.empty()) return config.logs;
  const std::filesystem::path beside =
      IsPostgres(config.database) ? "." : std::filesystem::path(config.database).parent_path();
  return std::filesystem::absolute(beside / "logs").string();
}

// What listens on all of a machine's addresses is reached by the machine's name.
std::string AdvertisedAddress(const ServerConfig& config, int port) {
  if (!config.advertise.empty()) return config.advertise;
  std::string host = HostOf(config.listen);
  if (host == "0.0.0.0" || host == "::") host = HostName();
  return AddressText(host, port);
}

// A worker is given up a little later than its agent gives up itself: its ranks are dead by then.
CoreOptions OptionsOf(const ServerConfig& config) {
  CoreOptions options;
  options.lease = config.lease + 2 * config.heartbeat;
  options.storage_low_watermark = config.storage_low_watermark;
  options.cordon_after = config.cordon_after;
  options.cordon_window = config.cordon_window;
  options.hang_after = config.hang_after;
  options.keep_devices = config.keep_devices;
  options.grow_after = config.grow_after;
  options.grow_every = config.grow_every;
  options.keep_jobs = config.keep_jobs;
  options.keep_events = config.keep_events;
  return options;
}

class Effects final : public EffectSink {
 public:
  // `serving` is told whether calls are answered now.
  Effects(AgentStreams& agents, CheckpointFiles& files, ChangeFeed& feed, Loop& logs_loop,
          LogStore& logs, CurveStore& curves, Webhooks& webhooks, CoreRunner& runner,
          AssignContext context, std::function<void(bool)> serving)
      : agents_(agents),
        files_(files),
        feed_(feed),
        logs_loop_(logs_loop),
        logs_(logs),
        curves_(curves),
        webhooks_(webhooks),
        runner_(runner),
        context_(std::move(context)),
        serving_(std::move(serving)) {}

  void Assign(const AssignRank& rank, const Core& core) override {
    const Job& job = core.jobs().at(rank.job);
    // It may have ended while a commit was waited for.
    if (!job.attempt || job.attempt->id != rank.attempt_id) return;
    internal::v1::CoordinatorMessage message = MakeAssign(job, rank.rank, core, context_);
    message.mutable_assign()->set_traceparent(TraceparentOfRanks(job));
    agents_.Send(rank.worker, std::move(message));
  }
  void Stop(const StopRanks& stop) override {
    internal::v1::CoordinatorMessage message;
    message.mutable_stop()->set_attempt_id(stop.attempt_id);
    message.mutable_stop()->set_kill(stop.kill);
    // A pause takes as long as the step that runs and the checkpoint;
    // a gang that hangs is ended by no_progress_timeout.
    if (!stop.kill) SetDuration(stop.grace, message.mutable_stop()->mutable_grace());
    agents_.Send(stop.worker, std::move(message));
  }
  void Inspect(const InspectRanks& inspect) override {
    internal::v1::CoordinatorMessage message;
    message.mutable_inspect()->set_attempt_id(inspect.attempt_id);
    agents_.Send(inspect.worker, std::move(message));
  }
  void MarkCommitted(const Checkpoint& checkpoint) override {
    files_.MarkCommitted(checkpoint, [this, job = checkpoint.job, step = checkpoint.step] {
      runner_.Post(command::CommittedMarked{job, step});
    });
  }
  void DeleteFiles(const CheckpointKey& key) override {
    files_.Delete(key, [this, key] { runner_.Post(command::FilesDeleted{key.first, key.second}); });
  }
  void DeleteHistory(const std::string& job) override {
    logs_loop_.Post([this, job] { ForgetJob(job); });
  }
  void Happened(const Event& event, const Core& core) override {
    feed_.Notify(kAnyEvent);
    const auto job = core.jobs().find(event.job);
    if (job == core.jobs().end()) return;
    webhooks_.Offer(event, job->second);
    spans_.Happened(event, job->second);
  }
  void JobChanged(const std::string& job) override {
    feed_.Notify(job);
    const auto& jobs = runner_.core().jobs();
    if (const auto it = jobs.find(job); it != jobs.end()) spans_.Changed(it->second);
  }
  void Leads() override {
    logs_.Reopen();
    curves_.Reopen();
    serving_(true);
  }
  void StandsBy(const absl::Status& refusal) override {
    serving_(false);
    agents_.Disconnect(refusal);
    feed_.NotifyAll();  // watchers learn of it
  }

 private:
  // On the loop of logs and curves, which ends before this does.
  void ForgetJob(const std::string& job) {
    absl::Status removed = curves_.Remove(job);
    if (removed.ok()) removed = logs_.Remove(job);
    if (!removed.ok()) {
      LogWarn("history_not_deleted", {{"job", job}, {"error", StatusText(removed)}});
      logs_loop_.After(kForgetRetry, [this, job] { ForgetJob(job); });
      return;
    }
    feed_.Forget(job);
    runner_.Post(command::HistoryDeleted{job});
  }

  AgentStreams& agents_;
  CheckpointFiles& files_;
  ChangeFeed& feed_;
  Loop& logs_loop_;
  LogStore& logs_;
  CurveStore& curves_;
  Webhooks& webhooks_;
  CoreRunner& runner_;
  JobSpans spans_;
  const AssignContext context_;
  const std::function<void(bool)> serving_;
};

absl::Status TokensChanged() {
  return Error(absl::StatusCode::kUnavailable, reason::kTokenRevoked,
               "a token of workers was revoked: agents have to show theirs again");
}

class Server final : public CoordinatorServer {
 public:
  Server(const ServerConfig& config, OpenedDatabase database, std::unique_ptr<ObjectStore> objects,
         std::unique_ptr<PoolLookup> pools, WebhookOptions webhooks, Callers callers)
      : storage_uri_(StorageUri(config.storage)),
        database_(std::move(database)),
        objects_(std::move(objects)),
        pools_(std::move(pools)),
        metrics_(registry_),
        logs_(LogsFolder(config)),
        curves_(LogsFolder(config)),
        core_loop_("core", Clock::Real()),
        database_loop_("database", Clock::Real()),
        storage_loop_("storage", Clock::Real()),
        logs_loop_("logs", Clock::Real()),
        runner_(OptionsOf(config), *database_.store, Clock::Real(), core_loop_, database_loop_,
                metrics_),
        files_(*objects_, storage_loop_, Clock::Real(), metrics_,
               [this] { return runner_.leads(); }),
        agents_(runner_, logs_loop_, logs_, feed_, metrics_,
                {.heartbeat = config.heartbeat,
                 .lease = config.lease,
                 .hello_limit = config.hello_limit}),
        webhooks_(std::move(webhooks), Clock::Real(), metrics_,
                  [this](const std::string& job, const std::string& why) {
                    runner_.Post(command::WebhookFailed{job, why});
                  }),
        effects_(agents_, files_, feed_, logs_loop_, logs_, curves_, webhooks_, runner_,
                 {storage_uri_, config.dataservices},
                 [this](bool serving) {
                   tokens_.Forget();
                   rpc_->SetServing(serving);
                 }),
        issuer_(std::move(callers.issuer)),
        tokens_(runner_, Clock::Real(), callers.fixed, issuer_.get()),
        audit_(runner_),
        guard_(
            tokens_,
            [this](access::About about, const std::string& name) {
              return FindTarget(runner_, about, name);
            },
            [this](const access::AuditEntry& entry, const std::string&) { audit_.Record(entry); },
            Clock::Real()),
        audits_service_(audit_, tokens_, Clock::Real()),
        maker_(runner_, *pools_),
        access_service_(runner_, tokens_, Clock::Real(), config.authenticate,
                        [this] { agents_.Disconnect(TokensChanged()); }),
        jobs_service_(runner_, Clock::Real(), maker_, feed_, logs_),
        checkpoints_service_(runner_, files_, storage_uri_),
        curves_service_(runner_, curves_),
        events_service_(runner_, feed_),
        profiles_service_(runner_, feed_),
        queues_service_(runner_),
        schedules_service_(runner_, maker_),
        sweeps_service_(runner_, Clock::Real(), maker_),
        workers_service_(runner_),
        trainers_service_(runner_, logs_loop_, curves_) {
    AddTelemetryMetrics(registry_);
  }

  ~Server() override {
    leadership_.reset();  // another coordinator takes over
    pool_watch_.reset();
    sources_.reset();
    log_retention_.reset();
    storage_watch_.reset();
    feed_.Stop();     // watchers leave
    agents_.Close();  // and agents, who dial again until a coordinator is there
    front_.reset();
    rpc_.reset();
    logs_loop_.Stop();
    storage_loop_.Stop();
    core_loop_.Stop();
    database_loop_.Stop();
  }

  absl::Status Serve(const ServerConfig& config) {
    if (!config.metrics.empty()) {
      SEER_ASSIGN_OR_RETURN(http_, MetricsHttp::Start(config.metrics, registry_));
    }
    if (database_.lease) {
      runner_.StartStandingBy(effects_, config.heartbeat);
    } else {
      SEER_RETURN_IF_ERROR(runner_.Start(effects_, config.heartbeat));
    }
    pool_watch_.emplace(runner_, *pools_, kPoolWatchPeriod);
    sources_.emplace(runner_, Clock::Real(), maker_, config.heartbeat);
    log_retention_.emplace(runner_, logs_, Clock::Real(), metrics_, config.keep_logs,
                           kLogRetentionPeriod);
    absl::string_view folder = storage_uri_;
    if (absl::ConsumePrefix(&folder, "file://"))
      storage_watch_.emplace(runner_, std::string(folder), kStorageWatchPeriod);
    RpcServerOptions options;
    options.address = config.listen;
    options.security = config.security;
    if (config.authenticate) options.guard = &guard_;
    SEER_ASSIGN_OR_RETURN(
        rpc_,
        RpcServer::Start(
            options,
            {Served<v1::Access>(access_service_), Served<v1::Jobs>(jobs_service_),
             Served<v1::Checkpoints>(checkpoints_service_), Served<v1::Curves>(curves_service_),
             Served<v1::Events>(events_service_), Served<v1::Profiles>(profiles_service_),
             Served<v1::Queues>(queues_service_), Served<v1::Schedules>(schedules_service_),
             Served<v1::Specs>(specs_service_), Served<v1::Sweeps>(sweeps_service_),
             Served<v1::Workers>(workers_service_), Served<internal::v1::Audits>(audits_service_),
             Served<internal::v1::Trainers>(trainers_service_),
             Served<internal::v1::Agents>(agents_)},
            registry_));
    SEER_RETURN_IF_ERROR(ServeHttp(config));
    if (!database_.lease) return absl::OkStatus();
    rpc_->SetServing(false);
    leadership_.emplace(*database_.lease, runner_, Clock::Real(),
                        AdvertisedAddress(config, rpc_->port()));
    return absl::OkStatus();
  }
  int port() const override { return rpc_->port(); }
  int metrics_port() const override { return http_ ? http_->port() : 0; }
  int http_port() const override { return front_ ? front_->port() : 0; }

 private:
  absl::Status ServeHttp(const ServerConfig& config) {
    if (config.http.empty()) return absl::OkStatus();
    HttpFrontOptions options;
    SEER_RETURN_IF_ERROR(CheckExposure(config.http, config.security, config.authenticate, "http"));
    options.server.address = config.http;
    options.server.certificate_file = config.security.certificate;
    options.server.key_file = config.security.key;
    if (config.http_client_certificates) options.server.client_ca_file = config.security.client_ca;
    options.hosts = config.http_hosts;
    SecurityOptions callers = config.security;  // the token is each caller's own
    callers.token.clear();
    callers.token_file.clear();
    SEER_ASSIGN_OR_RETURN(const auto security, ClientSecurity::Open(callers));
    SEER_ASSIGN_OR_RETURN(front_, HttpFront::Start(std::move(options), rpc_->InProcess(),
                                                   MakeChannel(config.dataservices, security)));
    return absl::OkStatus();
  }

  const std::string storage_uri_;
  const OpenedDatabase database_;
  const std::unique_ptr<ObjectStore> objects_;
  const std::unique_ptr<PoolLookup> pools_;
  MetricsRegistry registry_;
  CoordinatorMetrics metrics_;
  ChangeFeed feed_;
  LogStore logs_;
  CurveStore curves_;
  ThreadLoop core_loop_;
  ThreadLoop database_loop_;  // commits, so that the core's answers heartbeats meanwhile
  ThreadLoop storage_loop_;
  ThreadLoop logs_loop_;  // agents' streams wait for it: they must not wait for object storage
  CoreRunner runner_;
  CheckpointFiles files_;
  AgentStreams agents_;
  Webhooks webhooks_;
  Effects effects_;
  const std::unique_ptr<JwtVerifier> issuer_;
  TokenTable tokens_;
  AuditLog audit_;
  access::AccessGuard guard_;
  AuditsService audits_service_;
  JobMaker maker_;
  AccessService access_service_;
  JobsService jobs_service_;
  CheckpointsService checkpoints_service_;
  CurvesService curves_service_;
  EventsService events_service_;
  ProfilesService profiles_service_;
  QueuesService queues_service_;
  SchedulesService schedules_service_;
  SpecsService specs_service_;
  SweepsService sweeps_service_;
  WorkersService workers_service_;
  TrainersService trainers_service_;
  std::optional<PoolWatch> pool_watch_;
  std::optional<JobSources> sources_;
  std::optional<LogRetention> log_retention_;
  std::optional<StorageWatch> storage_watch_;  // where the storage is a file system
  std::unique_ptr<MetricsHttp> http_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<HttpFront> front_;  // calls rpc_
  std::optional<Leadership> leadership_;
};

absl::StatusOr<std::unique_ptr<CoordinatorServer>> StartServer(const ServerConfig& config,
                                                               std::unique_ptr<PoolLookup> pools,
                                                               const std::string& own_token) {
  if (config.heartbeat <= absl::ZeroDuration() || config.lease < 2 * config.heartbeat) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("a lease of ", absl::FormatDuration(config.lease),
                              " with a heartbeat of ", absl::FormatDuration(config.heartbeat)))
        .Field("lease")
        .Hint("the lease must be at least two heartbeats; the defaults are 15s and 1s");
  }
  if (config.leader_lease < kShortestLeaderLease) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("a leader's lease of ", absl::FormatDuration(config.leader_lease)))
        .Field("leader-lease")
        .Hint(absl::StrCat("at least ", absl::FormatDuration(kShortestLeaderLease),
                           "; the default is 5s"));
  }
  if (!(config.storage_low_watermark >= 0 && config.storage_low_watermark <= 1)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("a watermark of ", config.storage_low_watermark))
        .Field("storage-low-watermark")
        .Hint("a share from 0% to 100%; the default is 5%, 0% looks at nothing");
  }
  if (!config.advertise.empty())
    SEER_RETURN_IF_ERROR(CheckAddresses("--advertise", {config.advertise}));
  WebhookOptions webhooks;
  SEER_ASSIGN_OR_RETURN(webhooks.secret,
                        ReadSecret(config.webhook_secret_file, "webhook-secret-file"));
  SEER_ASSIGN_OR_RETURN(Callers callers, MakeCallers(config, own_token));
  SEER_ASSIGN_OR_RETURN(auto objects, OpenStore(StorageUri(config.storage)));
  SEER_ASSIGN_OR_RETURN(auto database, OpenDatabase(config.database, config.leader_lease));
  auto server = std::make_unique<Server>(config, std::move(database), std::move(objects),
                                         std::move(pools), std::move(webhooks), std::move(callers));
  SEER_RETURN_IF_ERROR(server->Serve(config));
  return std::unique_ptr<CoordinatorServer>(std::move(server));
}

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    const ServerConfig& config) {
  SEER_RETURN_IF_ERROR(CheckAddresses("--dataservice", config.dataservices));
  const std::string own_token = access::NewToken();
  SecurityOptions security = config.security;
  if (config.authenticate && security.token_file.empty()) security.token = own_token;
  SEER_ASSIGN_OR_RETURN(const auto client, ClientSecurity::Open(security));
  return StartServer(config, MakePoolLookup(config.dataservices, client), own_token);
}

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    const ServerConfig& config, std::unique_ptr<PoolLookup> pools) {
  return StartServer(config, std::move(pools), access::NewToken());
}

}  // namespace seer::coordinator
