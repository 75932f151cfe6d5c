// How busy this replica is, and how many like it would leave no reader waiting. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/metrics/registry.h"
#include "seer/v1/batches.pb.h"

namespace seer::dataservice {

// In replicas like this one. A stream takes the share of all decoding threads' time that it uses,
// as an exponential mean; what it would take without waiting is that over (1 - stall ratio), as its
// reader reports it.
class ReplicaLoadMeter {
 public:
  static constexpr absl::Duration kMean = absl::Seconds(15);  // time constant
  // Threads that are busier than that make readers wait now and then.
  static constexpr double kTargetUse = 0.8;
  static constexpr double kMostStall = 0.9;  // a report above counts as this
  // A reader that has not reported for so long says nothing any more.
  static constexpr absl::Duration kReportAge = absl::Minutes(1);

  // `wanted`: set to the replicas at kTargetUse that would do this one's work, with no label.
  ReplicaLoadMeter(int threads, Clock& clock, Gauge& wanted)
      : threads_(threads), clock_(clock), wanted_(wanted) {}

  // One reader's stream; its destructor closes it.
  class Stream {
   public:
    Stream(ReplicaLoadMeter& meter, int64_t number) : meter_(meter), number_(number) {}
    ~Stream() { meter_.Close(number_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    // Of one thread, what it waited for storage included.
    void Worked(absl::Duration busy) { meter_.Add(number_, busy); }

   private:
    ReplicaLoadMeter& meter_;
    const int64_t number_;
  };
  // `job` and `rank` as in StreamBatchesRequest.
  std::unique_ptr<Stream> Open(const std::string& job, int rank) ABSL_LOCKS_EXCLUDED(mu_);

  // Notes the reader's stall ratio, if the request has one. All but `draining`.
  v1::ReplicaLoad Get(const v1::GetReplicaLoadRequest& request) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Use {
    std::string job;
    int rank = 0;
    absl::Duration opened, counted;  // steady time
    double busy_seconds = 0;         // decayed up to `counted`
    double stall_ratio = 0;
    absl::Duration reported = -absl::InfiniteDuration();
  };
  void Add(int64_t number, absl::Duration busy) ABSL_LOCKS_EXCLUDED(mu_);
  void Close(int64_t number) ABSL_LOCKS_EXCLUDED(mu_);
  double Wanted(const Use& use, absl::Duration now) const;
  void Export(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int threads_;
  Clock& clock_;
  Gauge& wanted_;
  absl::Mutex mu_;
  int64_t last_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<int64_t, Use> uses_ ABSL_GUARDED_BY(mu_);  // open streams
};

}  // namespace seer::dataservice
