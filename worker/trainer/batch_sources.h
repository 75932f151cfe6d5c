// Where a rank's batches come from, as data.transport says: from the data service, or made in this
// process. Thread-safe; must outlive the sources that it opened.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/registry.h"
#include "engine/session/batch.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/v1/batches.pb.h"
#include "seer/v1/job_spec.pb.h"
#include "worker/trainer/batch_stream.h"
#include "worker/trainer/local_batches.h"

namespace seer::worker {

// The root of the pools, as OpenStore, of one whose folder the data service says: "file:///root/p"
// -> "file:///root". Cloud storage of the same kind as the checkpoints' is reached with the same
// parameters: region, endpoint. Pure.
std::string PoolsRoot(const std::string& pool_uri, const std::string& pool,
                      const std::string& storage_uri);

class BatchSources {
 public:
  // `pool`: one of the pools that will be read; where it lies the data service says, once, if
  // batches are made here. UNAVAILABLE with SERVICE_UNREACHABLE: it does not answer. Errors of
  // LocalPools::Open. `spec` is validated. `security`: as MakeChannel.
  static absl::StatusOr<std::unique_ptr<BatchSources>> Create(
      const v1::JobSpec& spec, const internal::v1::Assign& assign, const std::string& pool,
      MetricsRegistry& metrics, const std::shared_ptr<const ClientSecurity>& security = nullptr);

  std::unique_ptr<engine::BatchSource> Open(const v1::StreamBatchesRequest& request);

 private:
  BatchSources(BatchStreamOptions options, std::unique_ptr<LocalPools> local);

  const BatchStreamOptions options_;
  const std::unique_ptr<LocalPools> local_;  // null: batches come from the data service
};

}  // namespace seer::worker
