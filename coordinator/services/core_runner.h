// Runs the core on its loop: takes commands from any thread, commits what they change, and only
// then lets replies and effects out. Commits happen on the loop's thread. If one fails, its sender
// is told, replies and effects wait, and the same changes go with the next commit: the core is
// never behind its own answers. One that took long to fail is not tried again for as long, so that
// heartbeats are answered meanwhile.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "coordinator/core/core.h"
#include "coordinator/metrics.h"
#include "coordinator/store/store.h"

namespace seer::coordinator {

// Carries effects out, on the loop's thread, after the commit. Must not block.
class EffectSink {
 public:
  virtual ~EffectSink() = default;
  virtual void Assign(const AssignRank& rank, const Core& core) = 0;
  virtual void Stop(const StopRanks& stop) = 0;
  virtual void MarkCommitted(const Checkpoint& checkpoint) = 0;
  virtual void DeleteFiles(const CheckpointKey& key) = 0;
  virtual void JobChanged(const std::string& job) = 0;  // also for progress
};

class CoreRunner {
 public:
  using Done = std::function<void(const Reply& reply, const Core& core)>;  // on the loop's thread

  // All must outlive the runner; the loop must have stopped when it is destroyed.
  CoreRunner(CoreOptions options, Store& store, Clock& clock, Loop& loop,
             CoordinatorMetrics& metrics)
      : core_(options), store_(store), clock_(clock), loop_(loop), metrics_(metrics) {}

  // Once, before anything else: reads the store and starts to tick once a `tick`.
  // Errors as Store::Load.
  absl::Status Start(EffectSink& sink, absl::Duration tick);

  void Post(Command command, Done done = nullptr);
  // Not from the loop's thread, and not once the loop was stopped.
  Reply Execute(Command command);
  // Runs `read` on the loop's thread and waits.
  // Sees only what is committed: fails while a commit does.
  absl::Status Read(const std::function<absl::Status(const Core& core, Store& store)>& read);
  Loop& loop() { return loop_; }
  const Core& core() const {  // on the loop's thread
    CheckThread();
    return core_;
  }

 private:
  void CheckThread() const { SEER_CHECK(loop_.IsCurrent()) << "not on the core's thread"; }
  Moment Now() { return {clock_.Now(), clock_.Steady()}; }
  Reply Run(const Command& command);
  absl::Status Flush();
  void CarryOut(Effects effects, const Changes& changes);
  void Count(const Changes& changes);
  void Tick();
  void Measure(absl::Duration since_last);

  Core core_;  // this and all below: the loop's thread only
  Store& store_;
  Clock& clock_;
  Loop& loop_;
  CoordinatorMetrics& metrics_;
  EffectSink* sink_ = nullptr;
  absl::Duration tick_;
  absl::Duration last_tick_;
  Changes unsaved_;
  Effects waiting_;  // for the commit of unsaved_
  // A commit that waited for a lock and failed is not tried again before: steady time.
  absl::Duration commit_after_ = -absl::InfiniteDuration();
  absl::Status commit_failure_;
  std::set<std::string> known_workers_;  // with a series
  std::set<std::string> known_running_;
};

}  // namespace seer::coordinator
