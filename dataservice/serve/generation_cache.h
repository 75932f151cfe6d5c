// Catalogues in memory, shared by streams: at most kGenerations are kept beside those in use, and
// one is read once however many streams ask for it at once. Thread-safe.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {

class GenerationCache {
 public:
  static constexpr size_t kGenerations = 8;
  explicit GenerationCache(PoolStore& store) : store_(store) {}
  // Committed generations never change, so what is cached is always right. A failure is not kept:
  // the next call reads again.
  absl::StatusOr<std::shared_ptr<const Generation>> Get(const std::string& pool, int64_t generation)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // One catalogue, being read by the call that asked first.
  struct Reading {
    absl::StatusOr<std::shared_ptr<const Generation>> generation;  // read only after `done`
    absl::Notification done;
  };
  struct Entry {
    std::string pool;
    int64_t number = 0;
    std::shared_ptr<Reading> reading;
  };
  // The entry, made if it is not there; true: made by this call, which now reads it.
  std::pair<std::shared_ptr<Reading>, bool> Find(const std::string& pool, int64_t number)
      ABSL_LOCKS_EXCLUDED(mu_);

  PoolStore& store_;
  absl::Mutex mu_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mu_);  // most recently used first
};

}  // namespace seer::dataservice
