// What a test asks a data service: pools made and filled, batches streamed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataservice/server.h"
#include "seer/v1/batches.pb.h"
#include "seer/v1/pools.pb.h"

namespace seer::dataservice {

// On port 0, with the pools below `pools`.
absl::StatusOr<std::unique_ptr<DataServer>> StartServer(const std::string& pools, int threads = 2);

absl::Status CreatePool(const DataServer& server, const std::string& pool);

// The last message: it is `done`.
absl::StatusOr<v1::IngestProgress> IngestPool(const DataServer& server, const std::string& pool,
                                              const std::vector<std::string>& sources,
                                              bool labels = false);

// The reasons of the pool's quarantined images.
absl::StatusOr<std::vector<std::string>> QuarantineReasons(const DataServer& server,
                                                           const std::string& pool);

// Generation 1, one rank, three views in two sizes.
v1::StreamBatchesRequest BatchesOf(const std::string& pool, int64_t steps, int64_t batch);

absl::StatusOr<std::vector<v1::BatchMessage>> StreamBatches(
    const DataServer& server, const v1::StreamBatchesRequest& request);

// What it serves at /metrics. Fails the test, and is empty, if that cannot be read.
std::string MetricsOf(const DataServer& server);

}  // namespace seer::dataservice
