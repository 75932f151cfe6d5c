// Spans: what a process did for a trace, from when to when. They go to one recorder a process, as
// log lines do; without one a span costs a look at a flag and hands its parent's context on, so
// that a trace passes through processes that record nothing. Thread-safe; a Span is its owner's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trace/sampler.h"
#include "common/trace/trace_context.h"

namespace seer {

// With OTLP's numbers.
enum class SpanKind { kInternal = 1, kServer = 2, kClient = 3 };

using SpanAttribute = std::pair<std::string, std::variant<std::string, int64_t, double, bool>>;

struct SpanRecord {
  std::string name;
  SpanKind kind = SpanKind::kInternal;
  TraceContext context;      // its own
  uint64_t parent_span = 0;  // 0: a root
  absl::Time start, end;
  std::vector<SpanAttribute> attributes;
  bool failed = false;
  std::string message;  // of one that failed
};

class SpanRecorder {
 public:
  virtual ~SpanRecorder() = default;
  // A span that has ended, on any thread. Must not block.
  virtual void Take(SpanRecord span) = 0;
};

// From now on spans go to `recorder`, nullptr: to none. Returns when the one before is not used any
// more.
void SetSpanRecorder(SpanRecorder* recorder, const Sampler& sampler = {});
bool Tracing();  // there is one

// Of this thread; not valid: none.
const TraceContext& CurrentTrace();

// Sets this thread's context, and the one before again at its end. Ends on its thread.
class WithinTrace {
 public:
  explicit WithinTrace(const TraceContext& context);
  ~WithinTrace();
  WithinTrace(const WithinTrace&) = delete;

 private:
  const TraceContext before_;
};

class Span {
 public:
  Span() = default;  // records nothing
  // Begins now. Without a valid parent it is a root, of which the sampler decides.
  static Span Begin(absl::string_view name, SpanKind kind, const TraceContext& parent);
  // Within this thread's context; without one it records nothing.
  static Span Child(absl::string_view name);
  Span(Span&& other) noexcept { *this = std::move(other); }
  Span& operator=(Span&& other) noexcept;
  ~Span() { End(); }

  // Its own, which says whether it is sampled; in a process without a recorder its parent's.
  const TraceContext& context() const { return context_; }
  bool recording() const { return record_ != nullptr; }
  void Rename(std::string name);
  void Set(std::string key, std::variant<std::string, int64_t, double, bool> value);
  void Set(std::string key, const char* value) { Set(std::move(key), std::string(value)); }
  void Fail(std::string message);
  void Fail(const absl::Status& status);  // nothing happens if it is OK
  void Discard() { record_.reset(); }     // it never was
  void End();                             // once; what comes after it does nothing

 private:
  TraceContext context_;
  std::unique_ptr<SpanRecord> record_;  // null: records nothing, or has ended
};

// Runs `body`, which gives a Status and may take the span, in a span that is this thread's context
// meanwhile.
template <typename Body>
absl::Status InSpan(absl::string_view name, Body body) {
  Span span = Span::Child(name);
  const WithinTrace scope(span.context());
  absl::Status status;
  if constexpr (std::is_invocable_v<Body&, Span&>) {
    status = body(span);
  } else {
    status = body();
  }
  span.Fail(status);
  return status;
}

// A span that began and ended earlier. Its context is a child's of the trace that it belongs to.
void RecordSpan(SpanRecord span);

// A context within `parent`'s trace whose span's id is the same each time for the same `what`: for
// spans that outlive the process which began them.
TraceContext DerivedTrace(const TraceContext& parent, absl::string_view what);

// Neither this thread's calls nor its spans are recorded, whatever a server thinks of it: for what
// a process does again and again.
TraceContext UnsampledTrace();

}  // namespace seer
