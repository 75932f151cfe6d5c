// The PoolInspection service: what is in a pool, whether it is sound, what it looks like. Reads
// only. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/serve/generation_cache.h"
#include "dataservice/serve/takedown_watch.h"
#include "seer/v1/pool_inspection.grpc.pb.h"

namespace seer::dataservice {

class PoolLookService final : public v1::PoolInspection::Service {
 public:
  // All must outlive this.
  PoolLookService(PoolStore& store, GenerationCache& generations, TakedownWatch& takedowns,
                  Clock& clock)
      : store_(store), generations_(generations), takedowns_(takedowns), clock_(clock) {}

  grpc::Status GetPoolStats(grpc::ServerContext*, const v1::GetPoolStatsRequest*,
                            v1::PoolStats*) override;
  grpc::Status VerifyPool(grpc::ServerContext*, const v1::VerifyPoolRequest*,
                          grpc::ServerWriter<v1::VerifyPoolProgress>*) override;
  grpc::Status SamplePool(grpc::ServerContext*, const v1::SamplePoolRequest*,
                          grpc::ServerWriter<v1::SampledImage>*) override;

 private:
  struct Opened {
    std::string pool;
    std::shared_ptr<const Generation> generation;
    std::shared_ptr<const TakedownSet> takedowns;
  };
  // The generation that a request names, with at least one image.
  template <typename Request>
  absl::StatusOr<Opened> Open(const Request& request);
  absl::Status Stats(grpc::ServerContext& context, const v1::GetPoolStatsRequest& request,
                     v1::PoolStats& stats);
  absl::Status Verify(grpc::ServerContext& context, const v1::VerifyPoolRequest& request,
                      grpc::ServerWriter<v1::VerifyPoolProgress>& writer);
  absl::Status Sample(grpc::ServerContext& context, const v1::SamplePoolRequest& request,
                      grpc::ServerWriter<v1::SampledImage>& writer);
  // Fills in the image's views.
  absl::Status Show(const Opened& opened, const v1::SamplePoolRequest& request,
                    int64_t sample_index, const ImageLocation& image, v1::SampledImage& shown);

  PoolStore& store_;
  GenerationCache& generations_;
  TakedownWatch& takedowns_;
  Clock& clock_;
};

}  // namespace seer::dataservice
