// Batches that a rank makes by itself: it reads the pool in its storage and decodes, as a replica
// of the data service would, the same bits (data.transport IN_TRAINER).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/object_store.h"
#include "common/metrics/registry.h"
#include "dataservice/metrics.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/serve/assembler.h"
#include "dataservice/serve/batch_sequence.h"
#include "dataservice/serve/generation_cache.h"
#include "dataservice/serve/takedown_watch.h"
#include "dataservice/serve/work_pool.h"
#include "engine/session/batch.h"
#include "seer/v1/batches.pb.h"

namespace seer::worker {

// The pools as a rank reads them. Owns the threads that decode. Thread-safe; must outlive the
// batches that it opened.
class LocalPools {
 public:
  // `uri`: of the pools' root, as OpenStore. `pool`: one that must be there. `threads`: that
  // decode, at least 1. Errors of OpenStore and PoolStore::Info, with the field data.transport: the
  // storage cannot be read from here, or is another.
  static absl::StatusOr<std::unique_ptr<LocalPools>> Open(const std::string& uri,
                                                          const std::string& pool, int threads,
                                                          MetricsRegistry& metrics);

  // Batches are made ahead as dataservice::BatchSequence does. Errors come with the first batch, as
  // those of a stream: INVALID_ARGUMENT, NOT_FOUND, DATA_LOSS. Where the storage fails the batch is
  // tried again until `stall_limit` has passed; then its error is final.
  std::unique_ptr<engine::BatchSource> Batches(const v1::StreamBatchesRequest& request,
                                               absl::Duration stall_limit = absl::Minutes(5));

 private:
  LocalPools(std::unique_ptr<ObjectStore> objects, int threads, MetricsRegistry& metrics);

  const std::unique_ptr<ObjectStore> objects_;
  dataservice::DataMetrics metrics_;
  dataservice::PoolStore pools_;
  dataservice::GenerationCache generations_;
  dataservice::TakedownWatch takedowns_;
  dataservice::WorkPool work_;
  dataservice::Assembler assembler_;
  dataservice::BufferedBatches buffered_;
};

}  // namespace seer::worker
