#include "worker/trainer/batch_sources.h"

#include <grpcpp/grpcpp.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/objectstore/open_store.h"
#include "common/rpc/channel.h"
#include "common/rpc/security.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/pools.grpc.pb.h"
#include "worker/trainer/spec_to_config.h"

namespace seer::worker {
namespace {

absl::StatusOr<std::string> FolderOf(const std::string& pool, const BatchStreamOptions& options) {
  if (options.replicas.empty()) return NoReplica();
  const auto stub = v1::Pools::NewStub(MakeChannel(options.replicas, options.security));
  v1::GetPoolRequest request;
  request.set_name(absl::StrCat("pools/", pool));
  v1::Pool found;
  RetryOptions retry;
  retry.attempts = 20;  // a minute and more: it may be starting
  SEER_RETURN_IF_ERROR(CallWithRetry(retry, "the data service", [&](grpc::ClientContext& context) {
    return FromGrpc(stub->GetPool(&context, request, &found));
  }));
  return found.uri();
}

}  // namespace

std::string PoolsRoot(const std::string& pool_uri, const std::string& pool,
                      const std::string& storage_uri) {
  const std::string root(absl::StripSuffix(pool_uri, absl::StrCat("/", pool)));
  const size_t query = storage_uri.find('?');
  const auto scheme = [](const std::string& uri) { return uri.substr(0, uri.find("://")); };
  if (!IsCloudUri(root) || query == std::string::npos || scheme(root) != scheme(storage_uri))
    return root;
  return root + storage_uri.substr(query);
}

absl::StatusOr<std::unique_ptr<BatchSources>> BatchSources::Create(
    const v1::JobSpec& spec, const internal::v1::Assign& assign, const std::string& pool,
    MetricsRegistry& metrics, const std::shared_ptr<const ClientSecurity>& security) {
  BatchStreamOptions options;
  options.replicas.assign(assign.dataservice_addresses().begin(),
                          assign.dataservice_addresses().end());
  // Streams go to what the names are resolved to.
  if (security) options.security = security->WithNames(options.replicas);
  options.first_replica = assign.rank();
  if (spec.data().prefetch_steps() > 0) options.prefetch_steps = spec.data().prefetch_steps();
  options.shared_memory = spec.data().transport() != v1::DATA_TRANSPORT_GRPC;
  std::unique_ptr<LocalPools> local;
  if (spec.data().transport() == v1::DATA_TRANSPORT_IN_TRAINER) {
    SEER_ASSIGN_OR_RETURN(const std::string folder, FolderOf(pool, options));
    const std::string root = PoolsRoot(folder, pool, assign.storage_uri());
    const int threads = ToRankConfig(spec, assign).threads;
    SEER_ASSIGN_OR_RETURN(local, LocalPools::Open(root, pool, threads, metrics));
    LogInfo("batches_made_here", {{"pools", root.substr(0, root.find('?'))}, {"threads", threads}});
  }
  return std::unique_ptr<BatchSources>(new BatchSources(std::move(options), std::move(local)));
}

BatchSources::BatchSources(BatchStreamOptions options, std::unique_ptr<LocalPools> local)
    : options_(std::move(options)), local_(std::move(local)) {}

std::unique_ptr<engine::BatchSource> BatchSources::Open(const v1::StreamBatchesRequest& request) {
  if (local_ != nullptr) return local_->Batches(request);
  return std::make_unique<BatchStream>(request, options_);
}

}  // namespace seer::worker
