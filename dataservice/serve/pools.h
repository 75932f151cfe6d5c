// The Pools service: proto <-> pool store and ingest. Thread-safe.
#pragma once

#include "common/base/clock.h"
#include "dataservice/metrics.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/serve/generation_cache.h"
#include "seer/v1/pools.grpc.pb.h"

namespace seer::dataservice {

class PoolsService final : public v1::Pools::Service {
 public:
  // `uri`: of the store's root, for display. `threads`: that an ingest decodes with.
  PoolsService(PoolStore& store, GenerationCache& generations, Clock& clock, DataMetrics& metrics,
               std::string uri, int threads)
      : store_(store),
        generations_(generations),
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

 private:
  absl::Status Create(const v1::CreatePoolRequest& request, v1::Pool& pool);
  // generation 0: the newest.
  absl::Status Describe(const std::string& id, int64_t generation, v1::Pool& pool);
  absl::Status Ingest(grpc::ServerContext& context, const v1::IngestPoolRequest& request,
                      grpc::ServerWriter<v1::IngestProgress>& writer);
  absl::Status Samples(const v1::ListSamplesRequest& request, v1::ListSamplesResponse& response);

  PoolStore& store_;
  GenerationCache& generations_;
  Clock& clock_;
  DataMetrics& metrics_;
  const std::string uri_;
  const int threads_;
};

}  // namespace seer::dataservice
