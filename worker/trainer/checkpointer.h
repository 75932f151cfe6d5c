// Writes checkpoints while training goes on: one at a time on a thread of its own, reported to the
// coordinator until it has committed them. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/object_store.h"
#include "common/base/thread.h"
#include "common/metrics/registry.h"
#include "common/trace/trace_context.h"
#include "engine/session/train_session.h"
#include "engine/trace/trace_recorder.h"

namespace seer::worker {

class Checkpointer {
 public:
  // Reports a file; true: the step is committed. UNAVAILABLE, DEADLINE_EXCEEDED, and what a
  // coordinator that stops leaves of a call (CANCELLED, UNKNOWN): it is away; anything else but OK
  // is final.
  using Report =
      std::function<absl::StatusOr<bool>(int64_t step, const engine::CheckpointFile& file)>;

  // `store`, `metrics` and `trace`, if it is not null, must outlive this. `prefix`:
  // "<job>/checkpoints".
  Checkpointer(ObjectStore& store, std::string prefix, Report report, MetricsRegistry& metrics,
               engine::TraceRecorder* trace = nullptr);
  ~Checkpointer();  // gives up what is not committed

  // Waits for the one before, if it is still being written. Its failure is returned here or by
  // Finish.
  absl::Status Submit(std::unique_ptr<engine::CheckpointSnapshot> snapshot)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until all is committed.
  absl::Status Finish() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mu_);  // the first failure
  void ObserveSnapshot(absl::Duration took);             // the stage before Submit

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Write(engine::CheckpointSnapshot& snapshot) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Commit(int64_t step, const engine::CheckpointFile& file) ABSL_LOCKS_EXCLUDED(mu_);
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return snapshot_ == nullptr || !status_.ok();
  }
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || (snapshot_ != nullptr && status_.ok());
  }

  ObjectStore& store_;
  const std::string prefix_;
  const Report report_;
  engine::TraceRecorder* const trace_;
  Histogram& seconds_;
  Gauge& bytes_;
  Counter& failures_;
  mutable absl::Mutex mu_;
  std::unique_ptr<engine::CheckpointSnapshot> snapshot_ ABSL_GUARDED_BY(mu_);  // being written
  TraceContext trace_of_snapshot_ ABSL_GUARDED_BY(mu_);  // of the thread that submitted it
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  Thread thread_;
};

}  // namespace seer::worker
