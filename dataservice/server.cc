#include "dataservice/server.h"

#include <grpcpp/grpcpp.h>

#include <thread>
#include <utility>

#include "common/access/guard.h"
#include "common/access/remote_audit.h"
#include "common/access/remote_authenticator.h"
#include "common/base/address.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/metrics/http.h"
#include "common/objectstore/open_store.h"
#include "common/otlp/telemetry.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "dataservice/metrics.h"
#include "dataservice/serve/assembler.h"
#include "dataservice/serve/batches.h"
#include "dataservice/serve/generation_cache.h"
#include "dataservice/serve/pool_look.h"
#include "dataservice/serve/pools.h"
#include "dataservice/store_metrics.h"

namespace seer::dataservice {
namespace {

// The store of the pools, and what counts its requests.
struct Storage {
  MetricsRegistry registry;
  StoreMetrics metrics{registry};
  std::unique_ptr<ObjectStore> objects;
};

// Lets calls in whose tokens a coordinator knows, and tells it what they change.
struct Access {
  explicit Access(std::shared_ptr<grpc::Channel> coordinator)
      : authenticator(v1::Access::NewStub(coordinator), Clock::Real()),
        audit(seer::internal::v1::Audits::NewStub(coordinator)),
        guard(
            authenticator,
            [](access::About, const std::string&) -> absl::StatusOr<access::Target> {
              return absl::NotFoundError("no jobs are kept here");
            },
            [this](const access::AuditEntry& entry, const std::string& token) {
              audit.Record(entry, token);
            },
            Clock::Real()) {}
  access::RemoteAuthenticator authenticator;
  access::RemoteAudit audit;
  access::AccessGuard guard;
};

absl::StatusOr<std::unique_ptr<Access>> MakeAccess(const ServerConfig& config) {
  if (!config.authenticate) return nullptr;
  const std::vector<std::string> coordinators = SplitAddresses(config.coordinators);
  if (coordinators.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField,
                 "callers are to show tokens, but nobody is named who knows them")
        .Field("coordinator")
        .Hint("give --coordinator HOST:PORT with --auth tokens");
  }
  SEER_RETURN_IF_ERROR(CheckAddresses("--coordinator", coordinators));
  SecurityOptions security = config.security;
  security.token_file.clear();  // it asks with the tokens of its callers
  SEER_ASSIGN_OR_RETURN(const auto client, ClientSecurity::Open(security));
  return std::make_unique<Access>(MakeChannel(coordinators, client));
}

class Server final : public DataServer {
 public:
  Server(const ServerConfig& config, int threads, std::unique_ptr<Storage> storage,
         std::unique_ptr<Access> access)
      : storage_(std::move(storage)),
        registry_(storage_->registry),
        objects_(*storage_->objects),
        metrics_(registry_),
        pools_(objects_, Clock::Real()),
        generations_(pools_),
        takedowns_(objects_, Clock::Real()),
        work_(threads),
        assembler_(objects_, takedowns_, work_, metrics_),
        access_(std::move(access)),
        batches_service_(generations_, assembler_, metrics_, config.slot_folder, threads,
                         access_ ? &access_->guard : nullptr),
        pools_service_(pools_, generations_, takedowns_, Clock::Real(), metrics_,
                       config.pools.substr(0, config.pools.find('?')), threads),
        look_service_(pools_, generations_, takedowns_, Clock::Real()) {
    AddTelemetryMetrics(registry_);
  }

  ~Server() override { batches_service_.Drain(); }

  absl::Status Serve(const ServerConfig& config) {
    SEER_ASSIGN_OR_RETURN(http_, MetricsHttp::Start(config.metrics, registry_));
    RpcServerOptions options;
    options.address = config.listen;
    options.security = config.security;
    if (access_) options.guard = &access_->guard;
    SEER_ASSIGN_OR_RETURN(
        rpc_, RpcServer::Start(
                  options,
                  {Served<v1::Batches>(batches_service_, "StreamBatches"),
                   Served<v1::Pools>(pools_service_), Served<v1::PoolInspection>(look_service_)},
                  registry_));
    return absl::OkStatus();
  }
  int port() const override { return rpc_->port(); }
  int metrics_port() const override { return http_->port(); }

 private:
  const std::unique_ptr<Storage> storage_;
  MetricsRegistry& registry_;
  ObjectStore& objects_;
  DataMetrics metrics_;
  PoolStore pools_;
  GenerationCache generations_;
  TakedownWatch takedowns_;
  WorkPool work_;
  Assembler assembler_;
  const std::unique_ptr<Access> access_;  // nullptr: everybody may do everything
  BatchesService batches_service_;
  PoolsService pools_service_;
  PoolLookService look_service_;
  std::unique_ptr<MetricsHttp> http_;
  std::unique_ptr<RpcServer> rpc_;  // last: stopped first
};

}  // namespace

absl::StatusOr<int> ThreadsOf(const ServerConfig& config) {
  if (config.threads < 0 || config.threads > 1024) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 "threads must be from 0 to 1024")
        .Field("threads");
  }
  return config.threads > 0 ? config.threads
                            : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

absl::StatusOr<std::unique_ptr<DataServer>> DataServer::Start(const ServerConfig& config) {
  SEER_ASSIGN_OR_RETURN(const int threads, ThreadsOf(config));
  auto storage = std::make_unique<Storage>();
  SEER_ASSIGN_OR_RETURN(storage->objects,
                        OpenStore(config.pools, StoreUse::kReadAndWrite, &storage->metrics));
  SEER_ASSIGN_OR_RETURN(auto access, MakeAccess(config));
  auto server = std::make_unique<Server>(config, threads, std::move(storage), std::move(access));
  SEER_RETURN_IF_ERROR(server->Serve(config));
  return std::unique_ptr<DataServer>(std::move(server));
}

}  // namespace seer::dataservice
