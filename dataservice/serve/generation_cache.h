// Open generations, shared by streams: at most kGenerations are kept beside those in use, and one
// is opened once however many streams ask for it at once. The rows that they read are kept in one
// cache for all. Thread-safe; must outlive the generations that it gave.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "dataservice/pool/location_index.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/pool/read_once_cache.h"

namespace seer::dataservice {

class GenerationCache {
 public:
  static constexpr int64_t kGenerations = 8;
  // `store` must outlive this.
  explicit GenerationCache(PoolStore& store) : store_(store) {}
  // Committed generations never change, so what is cached is always right. A failure is not kept:
  // the next call opens again.
  absl::StatusOr<std::shared_ptr<const Generation>> Get(const std::string& pool,
                                                        int64_t generation) {
    return generations_.Get({pool, generation}, 1,
                            [&] { return store_.OpenGeneration(pool, generation, locations_); });
  }

 private:
  PoolStore& store_;
  LocationCache locations_;
  ReadOnceCache<std::pair<std::string, int64_t>, std::shared_ptr<const Generation>> generations_{
      kGenerations};
};

}  // namespace seer::dataservice
