#include "coordinator/services/change_feed.h"

#include "common/base/await.h"

namespace seer::coordinator {

void ChangeFeed::Notify(const std::string& key) {
  absl::MutexLock lock(&mu_);
  ++versions_[key];
}

void ChangeFeed::NotifyAll() {
  absl::MutexLock lock(&mu_);
  for (auto& [key, version] : versions_) ++version;
}

void ChangeFeed::Forget(const std::string& key) {
  absl::MutexLock lock(&mu_);
  versions_.erase(key);
}

uint64_t ChangeFeed::Version(const std::string& key) {
  absl::MutexLock lock(&mu_);
  return versions_[key];
}

void ChangeFeed::Wait(const std::string& key, uint64_t seen, absl::Duration limit) {
  absl::MutexLock lock(&mu_);
  const auto changed = [&] {
    mu_.AssertReaderHeld();
    return stopped_ || versions_[key] != seen;
  };
  AwaitFor(mu_, absl::Condition(&changed), limit);
}

void ChangeFeed::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
}

bool ChangeFeed::stopped() {
  absl::MutexLock lock(&mu_);
  return stopped_;
}

}  // namespace seer::coordinator
