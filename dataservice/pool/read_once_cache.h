// Values by key, read when they are first asked for: of calls that ask at once for what is not
// there one reads, the others wait for it. The least recently used go when the costs of what is
// kept exceed the capacity. A failure is not kept: the next call reads again. Of a key one version
// is kept, the one asked for last. Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace seer::dataservice {

// Value: cheap to copy, such as a shared_ptr; what callers hold outlives its place in the cache.
template <typename Key, typename Value>
class ReadOnceCache {
 public:
  // `capacity`: of the sum of costs; what was asked for last is kept whatever it costs.
  explicit ReadOnceCache(int64_t capacity) : capacity_(capacity) {}

  // `read` runs without a lock. `version`: of what is asked for, where the value of a key changes.
  absl::StatusOr<Value> Get(const Key& key, int64_t cost,
                            absl::FunctionRef<absl::StatusOr<Value>()> read, int64_t version = 0)
      ABSL_LOCKS_EXCLUDED(mu_) {
    const auto [reading, mine] = Find(key, cost, version);
    if (!mine) {
      reading->done.WaitForNotification();
      return reading->value;
    }
    reading->value = read();
    if (!reading->value.ok()) Forget(key, *reading);
    reading->done.Notify();
    return reading->value;
  }

 private:
  struct Reading {
    absl::StatusOr<Value> value;  // read only after `done`
    absl::Notification done;
  };
  struct Entry {
    Key key;
    int64_t cost = 0;
    int64_t version = 0;
    std::shared_ptr<Reading> reading;
  };
  using Entries = std::list<Entry>;

  // The entry, made if it is not there; true: made by this call, which now reads it.
  std::pair<std::shared_ptr<Reading>, bool> Find(const Key& key, int64_t cost, int64_t version)
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (const auto it = places_.find(key); it != places_.end()) {
      if (it->second->version == version) {
        entries_.splice(entries_.begin(), entries_, it->second);
        return {it->second->reading, false};
      }
      Remove(it->second);
    }
    entries_.push_front({key, cost, version, std::make_shared<Reading>()});
    places_[key] = entries_.begin();
    cost_ += cost;
    while (cost_ > capacity_ && entries_.size() > 1) Remove(std::prev(entries_.end()));
    return {entries_.front().reading, true};
  }

  void Forget(const Key& key, const Reading& reading) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    const auto it = places_.find(key);
    if (it != places_.end() && it->second->reading.get() == &reading) Remove(it->second);
  }

  void Remove(typename Entries::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    cost_ -= entry->cost;
    places_.erase(entry->key);
    entries_.erase(entry);
  }

  const int64_t capacity_;
  absl::Mutex mu_;
  Entries entries_ ABSL_GUARDED_BY(mu_);  // most recently used first
  absl::flat_hash_map<Key, typename Entries::iterator> places_ ABSL_GUARDED_BY(mu_);
  int64_t cost_ ABSL_GUARDED_BY(mu_) = 0;  // of entries_
};

}  // namespace seer::dataservice
