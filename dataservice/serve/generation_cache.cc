#include "dataservice/serve/generation_cache.h"

#include "common/base/status_macros.h"

namespace seer::dataservice {

absl::StatusOr<std::shared_ptr<const Generation>> GenerationCache::Get(const std::string& pool,
                                                                       int64_t number) {
  {
    absl::MutexLock lock(&mu_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->pool != pool || it->number != number) continue;
      entries_.splice(entries_.begin(), entries_, it);
      return it->generation;
    }
  }
  // Read without the lock: two streams may read the same catalogue once each.
  SEER_ASSIGN_OR_RETURN(auto generation, store_.ReadGeneration(pool, number));
  absl::MutexLock lock(&mu_);
  entries_.push_front({pool, number, generation});
  if (entries_.size() > kGenerations) entries_.pop_back();
  return generation;
}

}  // namespace seer::dataservice
