// Wakes those who wait for something to change: one version number a key ("job_ab12cd34").
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace seer::coordinator {

class ChangeFeed {
 public:
  void Notify(const std::string& key) ABSL_LOCKS_EXCLUDED(mu_);
  void NotifyAll() ABSL_LOCKS_EXCLUDED(mu_);
  void Forget(const std::string& key) ABSL_LOCKS_EXCLUDED(mu_);  // nothing more will come of it
  uint64_t Version(const std::string& key) ABSL_LOCKS_EXCLUDED(mu_);
  // Until the version is not `seen` any more, `limit` has passed, or the feed was stopped.
  void Wait(const std::string& key, uint64_t seen, absl::Duration limit) ABSL_LOCKS_EXCLUDED(mu_);
  // Nobody waits from here on.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);
  bool stopped() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Mutex mu_;
  std::map<std::string, uint64_t> versions_ ABSL_GUARDED_BY(mu_);  // as many as there are jobs
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace seer::coordinator
