#include "engine/trace/trace_recorder.h"

#include <utility>

namespace seer::engine {
namespace {

constexpr int kIndexBits = 32;  // of a span's number; the rest is its recording's

}  // namespace

void TraceRecorder::Start(int64_t step) {
  absl::MutexLock lock(&mu_);
  ++recording_;
  step_ = step;
  trace_ = {};
  trace_.begin = clock_.Now();
  begin_ = clock_.Steady();
  on_ = true;
}

Trace TraceRecorder::Stop() {
  absl::MutexLock lock(&mu_);
  on_ = false;
  const absl::Duration end = clock_.Steady() - begin_;
  for (TraceSpan& span : trace_.spans) {
    if (span.unfinished) span.duration = end - span.start;
  }
  return std::exchange(trace_, {});
}

void TraceRecorder::SetStep(int64_t step) {
  if (!on()) return;
  absl::MutexLock lock(&mu_);
  step_ = step;
}

int64_t TraceRecorder::Begin(TraceTrack track, absl::string_view name, absl::string_view category,
                             const TraceDetails& details) {
  absl::MutexLock lock(&mu_);
  if (!on()) return 0;
  if (trace_.spans.size() >= max_spans_) {
    ++trace_.dropped;
    return 0;
  }
  TraceSpan& span = trace_.spans.emplace_back();
  span.track = track;
  span.name = std::string(name);
  span.category = std::string(category);
  span.group = std::string(details.group);
  span.step = step_;
  span.resolution = details.resolution;
  span.bytes = details.bytes;
  span.unfinished = true;
  span.start = clock_.Steady() - begin_;  // under the lock: so they are in order
  return (recording_ << kIndexBits) | static_cast<int64_t>(trace_.spans.size());
}

void TraceRecorder::End(int64_t span) {
  if (span == 0) return;
  absl::MutexLock lock(&mu_);
  if (!on() || span >> kIndexBits != recording_) return;
  const auto index = static_cast<size_t>(span & ((int64_t{1} << kIndexBits) - 1));
  TraceSpan& ended = trace_.spans[index - 1];
  if (!ended.unfinished) return;
  ended.duration = clock_.Steady() - begin_ - ended.start;
  ended.unfinished = false;
}

}  // namespace seer::engine
