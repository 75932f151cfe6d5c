// When a slow read is worth a second one: after the time that most recent reads took, and only for
// a few of them. Thread-safe.
#pragma once

#include <array>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace seer {

class HedgePolicy {
 public:
  struct Options {
    double quantile = 0.95;  // of recent reads: what takes longer is slow
    double ratio = 0.03;     // second reads over reads, at most
    absl::Duration min_delay = absl::Milliseconds(10);
  };
  static constexpr int kMinSamples = 20;   // before that nothing is known to be slow
  static constexpr int kSavedHedges = 10;  // as many in a row, after enough reads without one

  explicit HedgePolicy(const Options& options) : options_(options) {}

  // How long to wait before a second read; InfiniteDuration: none. Counts the read.
  absl::Duration BeginRead() ABSL_LOCKS_EXCLUDED(mu_);
  // False: the share of second reads is used up.
  bool TakeHedge() ABSL_LOCKS_EXCLUDED(mu_);
  void RecordLatency(absl::Duration latency) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  static constexpr size_t kWindow = 200;
  void Update() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  absl::Mutex mu_;
  std::array<absl::Duration, kWindow> latencies_ ABSL_GUARDED_BY(mu_);  // a ring
  uint64_t recorded_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration delay_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
  double saved_ ABSL_GUARDED_BY(mu_) = 0;  // hedges that may be taken
};

}  // namespace seer
