// What one rank does and when: spans of time, kept while a recording runs. Free of torch.
// Thread-safe. While it is off a span costs one relaxed load and a branch.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace seer::engine {

// Spans of one line nest or follow one another, but for those of kCommunication, which may overlap
// in any way.
enum class TraceTrack {
  kTraining = 1,   // the thread that runs the steps
  kCommunication,  // collectives, from their start to their completion
  kCheckpoint,     // the thread that writes checkpoints
};

// Says what a span is of, where that is known.
struct TraceDetails {
  int64_t resolution = 0;        // edge of the crops, pixels
  int64_t bytes = 0;             // of this rank's tensors in a collective; of a file
  absl::string_view group = {};  // the ranks of a collective: "world", "norms-of-2-0"
};

struct TraceSpan {
  TraceTrack track = TraceTrack::kTraining;
  std::string name;
  std::string category;
  std::string group;
  absl::Duration start;  // since the recording began
  absl::Duration duration;
  int64_t step = 0;  // that ran, or came next, when it began
  int64_t resolution = 0;
  int64_t bytes = 0;
  bool unfinished = false;  // it went on when the recording ended
};

struct Trace {
  absl::Time begin;              // wall time, to lay ranks side by side
  std::vector<TraceSpan> spans;  // by start
  int64_t dropped = 0;           // that found no room
};

class TraceRecorder {
 public:
  static constexpr size_t kMaxSpans = 100'000;  // later ones are counted and dropped

  // `clock` must outlive the recorder.
  explicit TraceRecorder(size_t max_spans = kMaxSpans, Clock& clock = Clock::Real())
      : max_spans_(max_spans), clock_(clock) {}

  bool on() const { return on_.load(std::memory_order_relaxed); }
  // Forgets what an earlier recording left. `step`: that comes next.
  void Start(int64_t step) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the recording and gives what it has; spans that were begun are cut off here.
  Trace Stop() ABSL_LOCKS_EXCLUDED(mu_);
  // Spans that begin from now on are of `step`.
  void SetStep(int64_t step) ABSL_LOCKS_EXCLUDED(mu_);

  // What End takes; 0, which End passes over, while no recording runs or there is no room.
  int64_t Begin(TraceTrack track, absl::string_view name, absl::string_view category,
                const TraceDetails& details = {}) ABSL_LOCKS_EXCLUDED(mu_);
  // From any thread. A span of an earlier recording, or that has ended, is passed over.
  void End(int64_t span) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const size_t max_spans_;
  Clock& clock_;
  std::atomic<bool> on_ = false;
  absl::Mutex mu_;
  int64_t recording_ ABSL_GUARDED_BY(mu_) = 0;  // counts Start
  int64_t step_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration begin_ ABSL_GUARDED_BY(mu_);
  Trace trace_ ABSL_GUARDED_BY(mu_);  // of open spans: unfinished
};

// A span on the stack. `recorder` may be null, and must outlive it.
class TraceScope {
 public:
  TraceScope(TraceRecorder* recorder, TraceTrack track, absl::string_view name,
             absl::string_view category, const TraceDetails& details = {})
      : recorder_(recorder != nullptr && recorder->on() ? recorder : nullptr) {
    if (recorder_ != nullptr) span_ = recorder_->Begin(track, name, category, details);
  }
  ~TraceScope() {
    if (recorder_ != nullptr) recorder_->End(span_);
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  TraceRecorder* const recorder_;
  int64_t span_ = 0;
};

// Spans that follow one another. `recorder` must outlive it.
class TraceSequence {
 public:
  TraceSequence(TraceRecorder& recorder, TraceTrack track, absl::string_view category)
      : recorder_(recorder), track_(track), category_(category) {}
  ~TraceSequence() { recorder_.End(span_); }
  TraceSequence(const TraceSequence&) = delete;
  TraceSequence& operator=(const TraceSequence&) = delete;
  // Ends the one that runs and begins `name`.
  void Next(absl::string_view name) {
    recorder_.End(span_);
    span_ = recorder_.on() ? recorder_.Begin(track_, name, category_) : 0;
  }

 private:
  TraceRecorder& recorder_;
  const TraceTrack track_;
  const absl::string_view category_;
  int64_t span_ = 0;
};

}  // namespace seer::engine
