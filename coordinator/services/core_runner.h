// Runs the core on its loop: takes commands from any thread, commits what they change, and only
// then lets replies and effects out. Commits are prepared on the loop and made on the writer, one
// for all commands that are ready. While one is made, commands and reads wait for it, so that
// nobody sees what is not committed; heartbeats that tell nothing new do not wait. If one fails,
// its commands' senders are told, effects wait, and the same changes go with the next commit: the
// core is never behind its own answers.
// Where several coordinators share the store, one leads and the others stand by: they refuse every
// call. A leader whose lease has run out, or whose commit is refused, forgets what is not
// committed, and reads the store again before it leads again.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
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
#include "coordinator/services/core_gauges.h"
#include "coordinator/store/store.h"

namespace seer::coordinator {

// Carries effects out, on the loop's thread, after the commit. Must not block.
class EffectSink {
 public:
  virtual ~EffectSink() = default;
  virtual void Assign(const AssignRank& rank, const Core& core) = 0;
  virtual void Stop(const StopRanks& stop) = 0;
  virtual void Inspect(const InspectRanks& inspect) = 0;
  virtual void MarkCommitted(const Checkpoint& checkpoint) = 0;
  virtual void DeleteFiles(const CheckpointKey& key) = 0;
  virtual void DeleteHistory(const std::string& job) {}           // its logs and curve
  virtual void Happened(const Event& event, const Core& core) {}  // in the order of their numbers
  virtual void JobChanged(const std::string& job) = 0;            // also for progress
  // Where the store is shared: calls are answered from now on; or refused, and why.
  virtual void Leads() {}
  virtual void StandsBy(const absl::Status& refusal) {}
};

class CoreRunner {
 public:
  using Done = std::function<void(const Reply& reply, const Core& core)>;  // on the loop's thread

  // All must outlive the runner; both loops must have stopped when it is destroyed. `writer`: where
  // the store may block; it may be the loop itself.
  CoreRunner(CoreOptions options, Store& store, Clock& clock, Loop& loop, Loop& writer,
             CoordinatorMetrics& metrics)
      : options_(options),
        core_(std::make_unique<Core>(options)),
        store_(store),
        clock_(clock),
        loop_(loop),
        writer_(writer),
        metrics_(metrics),
        gauges_(metrics) {}

  // One of these two, once, before anything else. Ticks come once a `tick` while it leads.
  // The store is this process's alone: reads it and leads. Errors as Store::Load.
  absl::Status Start(EffectSink& sink, absl::Duration tick);
  // The store is shared: stands by until Lead.
  void StartStandingBy(EffectSink& sink, absl::Duration tick);

  // Thread-safe. Reads the store and leads in the term `term`, after an Extend. `done`, if any,
  // gets errors as Store::BeginTerm and Load, on the loop's thread.
  void Lead(int64_t term, std::function<void(const absl::Status&)> done);
  // Thread-safe. The lease runs until `until`, steady time.
  void Extend(absl::Duration until) { lease_until_ = absl::ToInt64Nanoseconds(until); }
  // Thread-safe. Refuses every call with `refusal` from now on.
  void StandBy(const absl::Status& refusal);
  // Thread-safe: it leads, and its lease has not run out.
  bool leads() const {
    return leading_ && absl::ToInt64Nanoseconds(clock_.Steady()) < lease_until_;
  }

  void Post(Command command, Done done = nullptr);
  // Not from the loop's thread, and not once the loop was stopped.
  Reply Execute(Command command);
  // On the loop's thread. Answered at once if it tells nothing new, else as Post does.
  void Heartbeat(command::WorkerHeartbeat heartbeat, Done done);
  // Runs `read` on the loop's thread and waits.
  // Sees only what is committed: fails while a commit does.
  absl::Status Read(const std::function<absl::Status(const Core& core, Store& store)>& read);
  // Runs `write` on the writer's thread, between commits, and waits. UNAVAILABLE with NOT_LEADER.
  absl::Status Write(const std::function<absl::Status(Store& store)>& write);
  Loop& loop() { return loop_; }
  const Core& core() const {  // on the loop's thread
    CheckThread();
    return *core_;
  }
  // On the loop's thread. UNAVAILABLE with NOT_LEADER while it stands by.
  absl::Status CheckLeads();

 private:
  void CheckThread() const { SEER_CHECK(loop_.IsCurrent()) << "not on the core's thread"; }
  Moment Now() { return {clock_.Now(), clock_.Steady()}; }
  absl::Status BeginToLead(int64_t term);
  void StopLeading(const absl::Status& refusal);
  // A command's reply, which waits for the commit of what it changed.
  struct Answer {
    Reply reply;
    Done done;
    bool progress = false;  // of a report of progress
  };
  struct WaitingRead {
    std::function<absl::Status(const Core& core, Store& store)> read;
    std::function<void(const absl::Status&)> done;
  };
  Reply Apply(const Command& command);
  // Runs `task` now, or after what the writer does, in the order of the calls.
  void WhenWritten(Loop::Task task);
  void RunOnWriter(Loop::Task work, Loop::Task done);
  void CommitSoon();
  void Commit();
  void Committed(const absl::Status& saved, absl::Duration took);
  void AnswerAll(const absl::Status& saved);
  void Give(const Answer& answer);
  void CarryOut(Effects effects, const Changes& changes);
  void Count(const Changes& changes);
  void NoteGangWait(const Event& event);
  void TickLater();
  void Tick();
  void CountPreemption(const Job& victim);

  const CoreOptions options_;
  std::atomic<bool> leading_{false};
  std::atomic<int64_t> lease_until_{std::numeric_limits<int64_t>::max()};  // steady, nanoseconds
  std::unique_ptr<Core> core_;  // this and all below: the loop's thread only
  Store& store_;
  Clock& clock_;
  Loop& loop_;
  Loop& writer_;
  CoordinatorMetrics& metrics_;
  EffectSink* sink_ = nullptr;
  absl::Duration tick_;
  uint64_t turn_ = 0;     // as the leader: ticks of an earlier one do nothing
  absl::Status refusal_;  // of calls while it stands by
  Changes unsaved_;
  Effects waiting_;                           // for the commit of unsaved_
  std::vector<Answer> answers_;               // as well
  std::vector<WaitingRead> reads_;            // as well
  bool commit_due_ = false;                   // a task for it is on the loop
  bool writing_ = false;                      // the writer has the store
  std::deque<Loop::Task> deferred_;           // until it has not
  std::map<std::string, absl::Time> wished_;  // job id -> since when it has wanted a gang
  CoreGauges gauges_;
};

}  // namespace seer::coordinator
