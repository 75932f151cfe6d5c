#include "common/trace/tracer.h"

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/philox.h"

namespace seer {
namespace {

struct Recording {
  std::atomic<bool> on{false};
  absl::Mutex mu;
  SpanRecorder* recorder ABSL_GUARDED_BY(mu) = nullptr;
  Sampler sampler ABSL_GUARDED_BY(mu);
};

// Process-wide, as the logger is.
Recording& TheRecording() {
  static Recording* recording = new Recording;
  return *recording;
}

thread_local TraceContext current_trace;

uint64_t RandomId() {
  thread_local absl::BitGen random;
  return absl::Uniform<uint64_t>(absl::IntervalClosed, random, 1, ~uint64_t{0});
}

bool Records(const TraceContext& trace, const TraceContext& parent) {
  Recording& recording = TheRecording();
  absl::ReaderMutexLock lock(&recording.mu);
  return recording.recorder != nullptr && recording.sampler.Records(trace, parent);
}

}  // namespace

void SetSpanRecorder(SpanRecorder* recorder, const Sampler& sampler) {
  Recording& recording = TheRecording();
  absl::MutexLock lock(&recording.mu);
  recording.recorder = recorder;
  recording.sampler = sampler;
  recording.on = recorder != nullptr;
}

bool Tracing() { return TheRecording().on.load(std::memory_order_relaxed); }

const TraceContext& CurrentTrace() { return current_trace; }

WithinTrace::WithinTrace(const TraceContext& context) : before_(current_trace) {
  current_trace = context;
}
WithinTrace::~WithinTrace() { current_trace = before_; }

Span Span::Begin(absl::string_view name, SpanKind kind, const TraceContext& parent) {
  Span span;
  span.context_ = parent;
  if (!Tracing()) return span;
  TraceContext own = parent.valid() ? parent : TraceContext{RandomId(), RandomId(), 0, false};
  own.span = RandomId();
  own.sampled = Records(own, parent);
  span.context_ = own;
  if (!own.sampled) return span;
  span.record_ = std::make_unique<SpanRecord>();
  span.record_->name = std::string(name);
  span.record_->kind = kind;
  span.record_->context = own;
  span.record_->parent_span = parent.valid() ? parent.span : 0;
  span.record_->start = Clock::Real().Now();
  return span;
}

Span Span::Child(absl::string_view name) {
  return CurrentTrace().valid() ? Begin(name, SpanKind::kInternal, CurrentTrace()) : Span();
}

Span& Span::operator=(Span&& other) noexcept {
  End();
  context_ = other.context_;
  record_ = std::move(other.record_);
  return *this;
}

void Span::Rename(std::string name) {
  if (record_ != nullptr) record_->name = std::move(name);
}

void Span::Set(std::string key, std::variant<std::string, int64_t, double, bool> value) {
  if (record_ != nullptr) record_->attributes.emplace_back(std::move(key), std::move(value));
}

void Span::Fail(std::string message) {
  if (record_ == nullptr) return;
  record_->failed = true;
  record_->message = std::move(message);
}

void Span::Fail(const absl::Status& status) {
  if (status.ok() || record_ == nullptr) return;
  const auto detail = GetErrorDetail(status);
  Set("error.type", detail ? std::string(detail->reason) : absl::StatusCodeToString(status.code()));
  Fail(std::string(status.message()));
}

void Span::End() {
  if (record_ == nullptr) return;
  record_->end = Clock::Real().Now();
  RecordSpan(std::move(*record_));
  record_.reset();
}

void RecordSpan(SpanRecord span) {
  if (span.end < span.start) span.end = span.start;  // the wall clock was set back
  Recording& recording = TheRecording();
  absl::ReaderMutexLock lock(&recording.mu);
  if (recording.recorder != nullptr) recording.recorder->Take(std::move(span));
}

TraceContext DerivedTrace(const TraceContext& parent, absl::string_view what) {
  TraceContext context = parent;
  context.span = StableHash(
      absl::StrCat(absl::Hex(parent.trace_high), "/", absl::Hex(parent.trace_low), "/", what));
  if (context.span == 0) context.span = 1;
  return context;
}

TraceContext UnsampledTrace() { return {RandomId(), RandomId(), RandomId(), false}; }

}  // namespace seer
