// The units of an ingest that are finished and not committed yet, below <pool>/staging/<key>/: what
// an ingest that was killed goes on from, and what processes that share one leave for each other
// (docs/pool_format.md). Thread-safe if the store is.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "dataservice/ingest/unit.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {

class Staging {
 public:
  // Without a new object for so long it is garbage. An ingest goes on only from what is younger
  // than half of it.
  static constexpr absl::Duration kLife = absl::Hours(14 * 24);

  // `key` says which ingest it is. What is too old is deleted. `store` and `clock` must outlive the
  // result.
  static absl::StatusOr<std::unique_ptr<Staging>> Open(PoolStore& store, Clock& clock,
                                                       const std::string& pool,
                                                       const std::string& key);

  // When the first process began: the time that the policy goes by.
  absl::Time begun() const { return begun_; }
  // Ids of those that are there now.
  absl::StatusOr<absl::flat_hash_set<std::string>> Units() const;
  // Nullopt: it is not there, or cannot be read.
  absl::StatusOr<std::optional<UnitResult>> Read(const std::string& unit) const;
  // Durable on return, all of it or nothing.
  absl::Status Write(const std::string& unit, const UnitResult& result);
  // Keeps shards that this process has written, and that no unit names yet, from being collected.
  absl::Status KeepAlive() ABSL_LOCKS_EXCLUDED(mu_);
  // Deletes all of it.
  absl::Status Remove();

 private:
  Staging(PoolStore& store, Clock& clock, std::string pool, std::string key);

  PoolStore& store_;
  Clock& clock_;
  const std::string pool_;
  const std::string key_;
  const absl::Time opened_;
  absl::Time begun_;
  absl::Mutex mu_;
  std::optional<absl::Duration> marked_ ABSL_GUARDED_BY(mu_);  // when it was last
};

// One ingest's staging as a collection of garbage sees it.
struct StagedIngest {
  std::string key;
  std::vector<std::string> objects;
  int64_t size_bytes = 0;
  absl::Time modified = absl::InfinitePast();  // newest of its objects
};
absl::StatusOr<std::vector<StagedIngest>> StagedIngests(PoolStore& store, const std::string& pool);
absl::Status DeleteStaged(PoolStore& store, const StagedIngest& ingest);
// The shards of its units, but for units that hold images which were taken down.
absl::StatusOr<std::vector<std::string>> StagedShards(PoolStore& store, const StagedIngest& ingest,
                                                      const TakedownSet& takedowns);

}  // namespace seer::dataservice
