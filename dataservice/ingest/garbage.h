// Deletes what a pool has of generations that nobody needs any more, what ingests have left that
// died long ago, and the shards that no generation and no ingest needs.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {

struct GarbageOptions {
  std::set<int64_t> keep;  // generations beside the newest; those that are not there do not matter
  absl::Duration keep_newer_than;  // since their commit
  bool dry_run = false;
};
struct Garbage {
  std::string name;  // relative to the pool: "generations/3", "staging/3f…", "shards/ab12….tar"
  int64_t size_bytes = 0;
};

// Calls `collected` with each that is deleted (dry_run: that would be); a status that is not OK
// ends the work with it, and it can be gone on with. A shard is kept when it was written less than
// PoolStore::kShardGrace ago or before a writer that is at work began, or when a generation names
// it that was committed meanwhile. Also the store's errors.
absl::Status CollectGarbage(PoolStore& store, Clock& clock, const std::string& pool,
                            const GarbageOptions& options,
                            absl::FunctionRef<absl::Status(const Garbage&)> collected);

}  // namespace seer::dataservice
