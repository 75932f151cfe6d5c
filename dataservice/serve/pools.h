// The Pools service: proto <-> pool store and ingest (pools.cc), and what changes a pool that is in
// use (pool_changes.cc). Thread-safe.
#pragma once

#include <functional>
#include <string>

#include "absl/functional/function_ref.h"
#include "common/base/clock.h"
#include "dataservice/ingest/ingest.h"
#include "dataservice/metrics.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/serve/generation_cache.h"
#include "dataservice/serve/takedown_watch.h"
#include "seer/v1/pools.grpc.pb.h"

namespace seer::dataservice {

class PoolsService final : public v1::Pools::Service {
 public:
  // `uri`: of the store's root, for display. `threads`: that an ingest decodes with.
  PoolsService(PoolStore& store, GenerationCache& generations, TakedownWatch& takedowns,
               Clock& clock, DataMetrics& metrics, std::string uri, int threads)
      : store_(store),
        generations_(generations),
        takedowns_(takedowns),
        clock_(clock),
        metrics_(metrics),
        uri_(std::move(uri)),
        threads_(threads) {}

  grpc::Status CreatePool(grpc::ServerContext*, const v1::CreatePoolRequest*, v1::Pool*) override;
  grpc::Status GetPool(grpc::ServerContext*, const v1::GetPoolRequest*, v1::Pool*) override;
  grpc::Status ListPools(grpc::ServerContext*, const v1::ListPoolsRequest*,
                         v1::ListPoolsResponse*) override;
  grpc::Status IngestPool(grpc::ServerContext*, const v1::IngestPoolRequest*,
                          grpc::ServerWriter<v1::IngestProgress>*) override;
  grpc::Status ListQuarantine(grpc::ServerContext*, const v1::ListQuarantineRequest*,
                              v1::ListQuarantineResponse*) override;
  grpc::Status ListSamples(grpc::ServerContext*, const v1::ListSamplesRequest*,
                           v1::ListSamplesResponse*) override;
  grpc::Status RefreshPool(grpc::ServerContext*, const v1::RefreshPoolRequest*,
                           grpc::ServerWriter<v1::IngestProgress>*) override;
  grpc::Status ListRefused(grpc::ServerContext*, const v1::ListRefusedRequest*,
                           v1::ListRefusedResponse*) override;
  grpc::Status CollectGarbage(grpc::ServerContext*, const v1::CollectGarbageRequest*,
                              grpc::ServerWriter<v1::CollectedObject>*) override;
  grpc::Status TakeDownImages(grpc::ServerContext*, const v1::TakeDownImagesRequest*,
                              grpc::ServerWriter<v1::TakedownProgress>*) override;
  grpc::Status ListTakedowns(grpc::ServerContext*, const v1::ListTakedownsRequest*,
                             v1::ListTakedownsResponse*) override;
  grpc::Status FindSamples(grpc::ServerContext*, const v1::FindSamplesRequest*,
                           grpc::ServerWriter<v1::FoundSamples>*) override;

 private:
  using IngestReport = std::function<absl::Status(const IngestCounts&)>;
  absl::Status Create(const v1::CreatePoolRequest& request, v1::Pool& pool);
  // generation 0: the newest.
  absl::Status Describe(const std::string& id, int64_t generation, v1::Pool& pool);
  absl::Status Ingest(grpc::ServerContext& context, const v1::IngestPoolRequest& request,
                      grpc::ServerWriter<v1::IngestProgress>& writer);
  absl::Status Samples(const v1::ListSamplesRequest& request, v1::ListSamplesResponse& response);
  // Runs an ingest or refresh of pool `id`, and sends what it reports.
  absl::Status Fill(grpc::ServerContext& context, const std::string& id, const char* event,
                    absl::FunctionRef<absl::StatusOr<IngestCounts>(const IngestReport&)> work,
                    grpc::ServerWriter<v1::IngestProgress>& writer);
  absl::Status Refresh(grpc::ServerContext& context, const v1::RefreshPoolRequest& request,
                       grpc::ServerWriter<v1::IngestProgress>& writer);
  absl::Status Refused(const v1::ListRefusedRequest& request, v1::ListRefusedResponse& response);
  absl::Status Collect(grpc::ServerContext& context, const v1::CollectGarbageRequest& request,
                       grpc::ServerWriter<v1::CollectedObject>& writer);
  absl::Status TakeDownFrom(grpc::ServerContext& context, const v1::TakeDownImagesRequest& request,
                            grpc::ServerWriter<v1::TakedownProgress>& writer);
  absl::Status Takedowns(const v1::ListTakedownsRequest& request,
                         v1::ListTakedownsResponse& response);
  absl::Status Find(grpc::ServerContext& context, const v1::FindSamplesRequest& request,
                    grpc::ServerWriter<v1::FoundSamples>& writer);

  PoolStore& store_;
  GenerationCache& generations_;
  TakedownWatch& takedowns_;
  Clock& clock_;
  DataMetrics& metrics_;
  const std::string uri_;
  const int threads_;
};

}  // namespace seer::dataservice
