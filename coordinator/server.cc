#include "coordinator/server.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/loop.h"
#include "common/base/status_macros.h"
#include "common/metrics/http.h"
#include "common/objectstore/open_store.h"
#include "common/rpc/server.h"
#include "coordinator/metrics.h"
#include "coordinator/services/agent_streams.h"
#include "coordinator/services/change_feed.h"
#include "coordinator/services/checkpoint_files.h"
#include "coordinator/services/checkpoints_service.h"
#include "coordinator/services/convert.h"
#include "coordinator/services/core_runner.h"
#include "coordinator/services/jobs_service.h"
#include "coordinator/services/log_store.h"
#include "coordinator/services/pool_lookup.h"
#include "coordinator/services/pool_watch.h"
#include "coordinator/services/profiles_service.h"
#include "coordinator/services/trainers_service.h"
#include "coordinator/services/workers_service.h"
#include "coordinator/store/store.h"

namespace seer::coordinator {
namespace {

constexpr absl::Duration kPoolWatchPeriod = absl::Seconds(5);

// Trainers on other machines read it: absolute, with a scheme, without '/' at its end.
std::string StorageUri(std::string uri) {
  if (!absl::StrContains(uri, "://"))
    uri = absl::StrCat("file://", std::filesystem::absolute(uri).lexically_normal().string());
  while (uri.size() > 1 && uri.back() == '/') uri.pop_back();
  return uri;
}

// A worker is given up a little later than its agent gives up itself: its ranks are dead by then.
CoreOptions OptionsOf(const ServerConfig& config) {
  CoreOptions options;
  options.lease = config.lease + 2 * config.heartbeat;
  return options;
}

class Effects final : public EffectSink {
 public:
  Effects(AgentStreams& agents, CheckpointFiles& files, ChangeFeed& feed, CoreRunner& runner,
          AssignContext context)
      : agents_(agents),
        files_(files),
        feed_(feed),
        runner_(runner),
        context_(std::move(context)) {}

  void Assign(const AssignRank& rank, const Core& core) override {
    const Job& job = core.jobs().at(rank.job);
    // It may have ended while a commit was waited for.
    if (!job.attempt || job.attempt->id != rank.attempt_id) return;
    agents_.Send(rank.worker, MakeAssign(job, rank.rank, core, context_));
  }
  void Stop(const StopRanks& stop) override {
    internal::v1::CoordinatorMessage message;
    message.mutable_stop()->set_attempt_id(stop.attempt_id);
    message.mutable_stop()->set_kill(stop.kill);
    // A pause takes as long as the step that runs and the checkpoint;
    // a gang that hangs is ended by no_progress_timeout.
    if (!stop.kill) message.mutable_stop()->mutable_grace()->set_seconds(600);
    agents_.Send(stop.worker, std::move(message));
  }
  void MarkCommitted(const Checkpoint& checkpoint) override {
    files_.MarkCommitted(checkpoint, [this, job = checkpoint.job, step = checkpoint.step] {
      runner_.Post(command::CommittedMarked{job, step});
    });
  }
  void DeleteFiles(const CheckpointKey& key) override {
    files_.Delete(key, [this, key] { runner_.Post(command::FilesDeleted{key.first, key.second}); });
  }
  void JobChanged(const std::string& job) override { feed_.Notify(job); }

 private:
  AgentStreams& agents_;
  CheckpointFiles& files_;
  ChangeFeed& feed_;
  CoreRunner& runner_;
  const AssignContext context_;
};

class Server final : public CoordinatorServer {
 public:
  Server(const ServerConfig& config, std::unique_ptr<Store> store,
         std::unique_ptr<ObjectStore> objects, std::unique_ptr<PoolLookup> pools)
      : storage_uri_(StorageUri(config.storage)),
        store_(std::move(store)),
        objects_(std::move(objects)),
        pools_(std::move(pools)),
        metrics_(registry_),
        logs_((std::filesystem::absolute(config.database).parent_path() / "logs").string()),
        core_loop_("core", Clock::Real()),
        storage_loop_("storage", Clock::Real()),
        logs_loop_("logs", Clock::Real()),
        runner_(OptionsOf(config), *store_, Clock::Real(), core_loop_, metrics_),
        files_(*objects_, storage_loop_, Clock::Real(), metrics_),
        agents_(runner_, logs_loop_, logs_, feed_, {config.heartbeat, config.lease}),
        effects_(agents_, files_, feed_, runner_, {storage_uri_, config.dataservices}),
        jobs_service_(runner_, *pools_, feed_, logs_),
        checkpoints_service_(runner_, files_, storage_uri_),
        profiles_service_(runner_, feed_),
        workers_service_(runner_),
        trainers_service_(runner_) {}

  ~Server() override {
    pool_watch_.reset();
    feed_.Stop();     // watchers leave
    agents_.Close();  // and agents, who dial again until a coordinator is there
    rpc_.reset();
    logs_loop_.Stop();
    storage_loop_.Stop();
    core_loop_.Stop();
  }

  absl::Status Serve(const ServerConfig& config) {
    if (!config.metrics.empty()) {
      SEER_ASSIGN_OR_RETURN(http_, MetricsHttp::Start(config.metrics, registry_));
    }
    SEER_RETURN_IF_ERROR(runner_.Start(effects_, config.heartbeat));
    pool_watch_.emplace(runner_, *pools_, kPoolWatchPeriod);
    RpcServerOptions options;
    options.address = config.listen;
    SEER_ASSIGN_OR_RETURN(
        rpc_, RpcServer::Start(options,
                               {&jobs_service_, &checkpoints_service_, &profiles_service_,
                                &workers_service_, &trainers_service_, &agents_},
                               registry_));
    return absl::OkStatus();
  }
  int port() const override { return rpc_->port(); }
  int metrics_port() const override { return http_ ? http_->port() : 0; }

 private:
  const std::string storage_uri_;
  const std::unique_ptr<Store> store_;
  const std::unique_ptr<ObjectStore> objects_;
  const std::unique_ptr<PoolLookup> pools_;
  MetricsRegistry registry_;
  CoordinatorMetrics metrics_;
  ChangeFeed feed_;
  LogStore logs_;
  ThreadLoop core_loop_;
  ThreadLoop storage_loop_;
  ThreadLoop logs_loop_;  // agents' streams wait for it: they must not wait for object storage
  CoreRunner runner_;
  CheckpointFiles files_;
  AgentStreams agents_;
  Effects effects_;
  JobsService jobs_service_;
  CheckpointsService checkpoints_service_;
  ProfilesService profiles_service_;
  WorkersService workers_service_;
  TrainersService trainers_service_;
  std::optional<PoolWatch> pool_watch_;
  std::unique_ptr<MetricsHttp> http_;
  std::unique_ptr<RpcServer> rpc_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    const ServerConfig& config) {
  return Start(config, MakePoolLookup(config.dataservices));
}

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    const ServerConfig& config, std::unique_ptr<PoolLookup> pools) {
  if (config.heartbeat <= absl::ZeroDuration() || config.lease < 2 * config.heartbeat) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("a lease of ", absl::FormatDuration(config.lease),
                              " with a heartbeat of ", absl::FormatDuration(config.heartbeat)))
        .Field("lease")
        .Hint("the lease must be at least two heartbeats; the defaults are 15s and 1s");
  }
  SEER_ASSIGN_OR_RETURN(auto objects, OpenStore(StorageUri(config.storage)));
  SEER_ASSIGN_OR_RETURN(auto store, OpenSqliteStore(config.database));
  auto server =
      std::make_unique<Server>(config, std::move(store), std::move(objects), std::move(pools));
  SEER_RETURN_IF_ERROR(server->Serve(config));
  return std::unique_ptr<CoordinatorServer>(std::move(server));
}

}  // namespace seer::coordinator
