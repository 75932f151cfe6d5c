// Fills a pool: reads sources, checks every image by decoding it, applies the policy, writes shards
// and commits the next generation; a refresh also leaves out what has grown too old. Killed
// half-way it leaves the pool as it was; run again it starts over, and shards already written are
// reused.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {

struct IngestOptions {
  std::vector<std::string> sources;
  bool labels_from_folders = false;
  // That of the newest generation's ingest: nothing is done again; empty: always done.
  std::string request_id;
  int threads = 1;  // that decode
  int64_t shard_bytes = 64 << 20;
};

struct RefreshOptions {
  IngestOptions ingest;  // without sources nothing is added
  // The smaller of this and the policy's window counts.
  absl::Duration max_age = absl::InfiniteDuration();
  bool dry_run = false;  // counts alone: nothing is written
};

struct IngestCounts {
  int64_t seen = 0;
  int64_t added = 0;
  int64_t quarantined = 0;
  int64_t refused = 0;
  std::map<std::string, int64_t> refused_by_rule;
  int64_t present = 0;  // same source and bytes as a row of the parent: kept once
  int64_t bytes_read = 0;
  int64_t total = 0;    // 0: not known
  int64_t expired = 0;  // rows of the parent that a refresh leaves out
};

// `progress` is called often, on the caller's thread; a status that is not OK ends the ingest with
// it. Errors as Pools.IngestPool. FAILED_PRECONDITION with SOURCE_EMPTY:
// no image was accepted and none was present.
absl::StatusOr<IngestCounts> IngestIntoPool(
    PoolStore& store, Clock& clock, const std::string& pool, const IngestOptions& options,
    const std::function<absl::Status(const IngestCounts&)>& progress);

// As IngestIntoPool; also leaves out the parent's rows that are outside of the window (those whose
// age is not known too, where there is one) or were taken down. Without any change nothing is
// committed. FAILED_PRECONDITION with POOL_EMPTY: there is no generation; with POOL_WOULD_BE_EMPTY:
// no row would be left.
absl::StatusOr<IngestCounts> RefreshPool(
    PoolStore& store, Clock& clock, const std::string& pool, const RefreshOptions& options,
    const std::function<absl::Status(const IngestCounts&)>& progress);

}  // namespace seer::dataservice
