#include "dataservice/serve/generation_cache.h"

#include <utility>

namespace seer::dataservice {

absl::StatusOr<std::shared_ptr<const Generation>> GenerationCache::Get(const std::string& pool,
                                                                       int64_t number) {
  const auto found = Find(pool, number);
  const std::shared_ptr<Reading>& reading = found.first;
  if (!found.second) {
    reading->done.WaitForNotification();
    return reading->generation;
  }
  // Read without the lock: other generations go on meanwhile.
  reading->generation = store_.ReadGeneration(pool, number);
  if (!reading->generation.ok()) {
    absl::MutexLock lock(&mu_);
    entries_.remove_if([&](const Entry& entry) { return entry.reading == reading; });
  }
  reading->done.Notify();
  return reading->generation;
}

std::pair<std::shared_ptr<GenerationCache::Reading>, bool> GenerationCache::Find(
    const std::string& pool, int64_t number) {
  absl::MutexLock lock(&mu_);
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->pool != pool || it->number != number) continue;
    entries_.splice(entries_.begin(), entries_, it);
    return {it->reading, false};
  }
  entries_.push_front({pool, number, std::make_shared<Reading>()});
  if (entries_.size() > kGenerations) entries_.pop_back();
  return {entries_.front().reading, true};
}

}  // namespace seer::dataservice
