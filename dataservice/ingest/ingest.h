// Fills a pool: reads sources, checks every image by decoding it, applies the policy, writes shards
// and commits the next generation; a refresh also leaves out what has grown too old. Sources are
// read in units. A finished unit is staged, so that an ingest which is killed goes on where it was
// when it is run again, and several processes may share one: each makes its part of the units, and
// whoever finds all of them commits. What is committed does not depend on either.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/part.h"
#include "dataservice/ingest/counts.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {

struct IngestOptions {
  std::vector<std::string> sources;
  bool labels_from_folders = false;
  // That of the newest generation's ingest: nothing is done again; empty: always done.
  std::string request_id;
  int threads = 1;  // that decode
  int64_t shard_bytes = 64 << 20;
  Part part;  // that this process makes the units of; the other options are the same for all
};

struct RefreshOptions {
  IngestOptions ingest;  // without sources nothing is added
  // The smaller of this and the policy's window counts.
  absl::Duration max_age = absl::InfiniteDuration();
  bool dry_run = false;  // counts alone: nothing is written
};

// `progress` is called often, on the caller's thread; a status that is not OK ends the ingest with
// it. Errors as Pools.IngestPool. FAILED_PRECONDITION with SOURCE_EMPTY:
// no image was accepted and none was present. With parts_missing in the result nothing is
// committed.
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
