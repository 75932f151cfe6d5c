// Catalogues in memory, shared by streams: at most kGenerations are kept beside those in use.
// Thread-safe.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {

class GenerationCache {
 public:
  static constexpr size_t kGenerations = 8;
  explicit GenerationCache(PoolStore& store) : store_(store) {}
  // Committed generations never change, so what is cached is always right.
  absl::StatusOr<std::shared_ptr<const Generation>> Get(const std::string& pool, int64_t generation)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::string pool;
    int64_t number = 0;
    std::shared_ptr<const Generation> generation;
  };
  PoolStore& store_;
  absl::Mutex mu_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mu_);  // most recently used first
};

}  // namespace seer::dataservice
