// Tells the coordinator how rank 0 gets on, about once a second, off the training thread. A
// coordinator that is away never stops training, and gets the newest report when it is back.
// Thread-safe; owns one thread.
#pragma once

#include <atomic>
#include <functional>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/thread.h"
#include "seer/internal/v1/trainer.pb.h"

namespace seer::worker {

class ProgressReporter {
 public:
  // Sends one report; true: the coordinator wants a pause. FAILED_PRECONDITION: this attempt is
  // stale.
  using Send = std::function<absl::StatusOr<bool>(const internal::v1::ReportProgressRequest&)>;
  // `period`: between two reports.
  explicit ProgressReporter(Send send, absl::Duration period = absl::Seconds(1));
  ~ProgressReporter();  // sends the newest once more

  void Update(internal::v1::ReportProgressRequest report) ABSL_LOCKS_EXCLUDED(mu_);
  bool pause_wanted() const { return pause_; }
  bool stale() const { return stale_; }

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || newest_.has_value();
  }

  const Send send_;
  const absl::Duration period_;
  std::atomic<bool> pause_{false}, stale_{false};
  absl::Mutex mu_;
  std::optional<internal::v1::ReportProgressRequest> newest_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  Thread thread_;
};

}  // namespace seer::worker
