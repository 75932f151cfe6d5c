// Records the steps that a profile asks for, and sends what was recorded to the coordinator while
// training goes on. Steps are told by the training thread; owns one thread, which sends.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/thread.h"
#include "engine/session/train_session.h"
#include "engine/trace/trace_recorder.h"
#include "seer/internal/v1/trainer.pb.h"
#include "seer/v1/profiles.pb.h"

namespace seer::worker {

v1::RankTrace ToProto(const engine::Trace& trace);

class Profiler {
 public:
  // UNAVAILABLE and DEADLINE_EXCEEDED: the coordinator is away; another error is final.
  using Send = std::function<absl::Status(const internal::v1::ReportProfileRequest&)>;

  // `trace` must outlive this. `who`: the attempt, job and rank of a report. `retry`: between two
  // attempts to send, kAttempts at most; then the recording is dropped.
  Profiler(engine::TraceRecorder& trace, internal::v1::ReportProfileRequest who, Send send,
           absl::Duration retry = absl::Seconds(1));
  ~Profiler();  // tries once more to send what has not been sent

  // At the end of the training loop's turn: all that belongs to the step is done. Ends a recording
  // whose steps are through, and begins the one that the step's report asks for.
  void StepDone(const engine::StepReport& report);

  // Of the newest recording that was begun; 0: none.
  int64_t profile() const { return who_.profile(); }
  int64_t first_step() const { return who_.first_step(); }

 private:
  static constexpr int kAttempts = 30;

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  void SendOne(const internal::v1::ReportProfileRequest& report) ABSL_LOCKS_EXCLUDED(mu_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || unsent_.has_value();
  }

  engine::TraceRecorder& trace_;
  const Send send_;
  const absl::Duration retry_;
  internal::v1::ReportProfileRequest who_;  // the training thread's, like last_step_
  int64_t last_step_ = -1;                  // of the recording that runs; -1: none
  absl::Mutex mu_;
  std::optional<internal::v1::ReportProfileRequest> unsent_ ABSL_GUARDED_BY(mu_);  // the newest
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  Thread thread_;
};

}  // namespace seer::worker
