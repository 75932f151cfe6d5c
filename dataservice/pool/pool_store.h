// The pools below one root, as they lie in object storage (docs/pool_format.md). Keeps no state:
// every call reads storage, so any number of replicas agree. Thread-safe if the store is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/object_store.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/manifest.h"

namespace seer::dataservice {

// A generation as serving needs it.
struct Generation {
  Manifest manifest;
  std::vector<ImageLocation> images;
};

class PoolStore {
 public:
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
  // NOT_FOUND with GENERATION_NOT_FOUND.
  absl::StatusOr<Manifest> ReadManifest(const std::string& pool, int64_t generation);
  absl::StatusOr<std::vector<CatalogueRow>> ReadRows(const std::string& pool,
                                                     const Manifest& manifest);
  absl::StatusOr<std::shared_ptr<const Generation>> ReadGeneration(const std::string& pool,
                                                                   int64_t generation);

  // Returns the shard's name; the same bytes are written once.
  absl::StatusOr<std::string> WriteShard(const std::string& pool, const std::string& bytes);
  // Writes the catalogue, then the manifest (this is the commit: it must not exist), then CURRENT.
  // ABORTED with POOL_WRITE_CONFLICT: another writer committed this number first.
  absl::Status Commit(const std::string& pool, Manifest& manifest,
                      const std::vector<CatalogueRow>& rows);

  ObjectStore& objects() { return store_; }

 private:
  static std::string ManifestKey(const std::string& pool, int64_t generation);

  ObjectStore& store_;
  Clock& clock_;
};

std::string ShardKey(const std::string& pool, const std::string& shard);

}  // namespace seer::dataservice
