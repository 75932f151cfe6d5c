// The pools below one root, as they lie in object storage (docs/pool_format.md). Keeps no state:
// every call reads storage, so any number of replicas agree. Thread-safe if the store is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/object_store.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/location_index.h"
#include "dataservice/pool/manifest.h"

namespace seer::dataservice {

class PoolStore {
 public:
  // A shard that no generation names is garbage when it was written longer ago.
  static constexpr absl::Duration kShardGrace = absl::Hours(1);

  // `store` and `clock` must outlive this.
  PoolStore(ObjectStore& store, Clock& clock) : store_(store), clock_(clock) {}

  // ALREADY_EXISTS with POOL_EXISTS, unless it was made by this very request (not empty).
  absl::Status Create(const std::string& pool, const PoolPolicy& policy,
                      const std::string& request_id = "");
  // NOT_FOUND with POOL_NOT_FOUND: names the pools there are.
  absl::StatusOr<PoolInfo> Info(const std::string& pool);
  absl::StatusOr<std::vector<std::string>> Names();
  // The newest committed generation; 0: none yet.
  absl::StatusOr<int64_t> Current(const std::string& pool);
  // Those that are committed, ascending.
  absl::StatusOr<std::vector<int64_t>> Generations(const std::string& pool);
  // NOT_FOUND with GENERATION_NOT_FOUND.
  absl::StatusOr<Manifest> ReadManifest(const std::string& pool, int64_t generation);
  // GENERATION_NOT_FOUND as ReadManifest, POOL_CORRUPT as Generation::Open; `cache` must outlive
  // the result.
  absl::StatusOr<std::shared_ptr<const Generation>> OpenGeneration(const std::string& pool,
                                                                   int64_t generation,
                                                                   LocationCache& cache);

  // Returns the shard's name. The same bytes are written once, but for those that lie there for so
  // long already that a collection of garbage may take them: these are written again.
  absl::StatusOr<std::string> WriteShard(const std::string& pool, const std::string& bytes);
  // Writes `file` into generation `to`, at place `number` among its files, without the rows for
  // which `drop` is true; it is asked once for each row. Nullopt: no row is left. The rest keep
  // their order, shards and offsets.
  absl::StatusOr<std::optional<CatalogueFile>> RewriteFile(
      const std::string& pool, const CatalogueFile& file, int64_t to, size_t number,
      absl::FunctionRef<bool(const CatalogueRow&)> drop);
  // Writes the manifest, all of whose files are there (this is the commit: it must not exist), then
  // CURRENT. Sets `created`. ABORTED with POOL_WRITE_CONFLICT: another writer committed this number
  // first. Either way the number is then taken, so that what other writers, dead ones too, have
  // left in its folder goes.
  absl::Status Commit(const std::string& pool, Manifest& manifest);
  // Keeps the shards that a writer has written since `since` from being collected as garbage; to be
  // said again before kShardGrace is over. `key`: of its staging, with which the mark goes.
  absl::Status MarkWriter(const std::string& pool, const std::string& key, absl::Time since);
  // The earliest `since` of the writers that are at work; the infinite future: there is none.
  absl::StatusOr<absl::Time> OldestWriter(const std::string& pool);
  // Deletes the files in a committed generation's folder that its manifest does not name.
  absl::Status RemoveUnnamed(const std::string& pool, const Manifest& manifest);

  ObjectStore& objects() { return store_; }

 private:
  static std::string ManifestKey(const std::string& pool, int64_t generation);

  ObjectStore& store_;
  Clock& clock_;
};

std::string ShardKey(const std::string& pool, const std::string& shard);
// "<pool>/staging/".
std::string StagingFolder(const std::string& pool);

}  // namespace seer::dataservice
