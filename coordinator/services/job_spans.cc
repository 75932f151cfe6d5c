#include "coordinator/services/job_spans.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/trace/tracer.h"
#include "coordinator/core/failure.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

TraceContext AttemptTrace(const Job& job, int64_t attempt_id) {
  return DerivedTrace(TraceContextOf(job.traceparent), absl::StrCat("attempt/", attempt_id));
}

SpanRecord SpanOf(const Job& job, const std::string& name, const TraceContext& own,
                  absl::Time start, absl::Time end) {
  SpanRecord span;
  span.name = name;
  span.context = own;
  span.parent_span = TraceContextOf(job.traceparent).span;
  span.start = start;
  span.end = end;
  span.attributes = {{"seer.job", absl::StrCat("jobs/", job.id)},
                     {"seer.job.name", job.name},
                     {"seer.queue", job.numbers.queue}};
  return span;
}

bool Recorded(const Job& job) { return Tracing() && TraceContextOf(job.traceparent).sampled; }

}  // namespace

std::string TraceparentOfRanks(const Job& job) {
  if (!Recorded(job) || !job.attempt) return job.traceparent;
  return FormatTraceparent(AttemptTrace(job, job.attempt->id));
}

void JobSpans::Changed(const Job& job) {
  if (!Recorded(job) || !job.attempt) return;
  attempts_.try_emplace(job.id, Running{job.attempt->id, job.attempt->number, job.attempt->started,
                                        job.attempt->ranks.size()});
}

void JobSpans::Happened(const Event& event, const Job& job) {
  if (!Recorded(job)) return;
  const auto to = [&event](JobState state) { return event.to == StateName(state); };
  if (event.type == "job_created" || to(JobState::kQueued) || to(JobState::kRestarting)) {
    wished_.try_emplace(job.id, event.created);
  } else if (event.type == "attempt_started") {
    Changed(job);
    if (const auto wish = wished_.extract(job.id)) {
      SpanRecord span = SpanOf(
          job, "job queued",
          DerivedTrace(TraceContextOf(job.traceparent), absl::StrCat("queued/", event.number)),
          wish.mapped(), event.created);
      span.attributes.emplace_back("seer.attempt", int64_t{event.attempt});
      RecordSpan(std::move(span));
    }
  } else if (event.type == "attempt_ended") {
    const auto ended = attempts_.extract(job.id);
    if (!ended || ended.mapped().number != event.attempt) return;
    const Running& attempt = ended.mapped();
    SpanRecord span =
        SpanOf(job, "attempt", AttemptTrace(job, attempt.id), attempt.started, event.created);
    span.attributes.emplace_back("seer.attempt", int64_t{attempt.number});
    span.attributes.emplace_back("seer.ranks", static_cast<int64_t>(attempt.ranks));
    if (!event.reason.empty()) span.attributes.emplace_back("seer.reason", event.reason);
    span.failed = event.failure != FailureClass::kNone;
    if (span.failed) {
      span.attributes.emplace_back("error.type", std::string(FailureClassName(event.failure)));
      span.message = event.message;
    }
    RecordSpan(std::move(span));
  } else if (Ended(job.state)) {
    wished_.erase(job.id);
  }
}

}  // namespace seer::coordinator
