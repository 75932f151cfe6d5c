#include "worker/trainer/profiler.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/await.h"
#include "common/base/error.h"
#include "common/base/log.h"

namespace seer::worker {
namespace {

// Numbers of texts within one message.
class Texts {
 public:
  explicit Texts(v1::RankTrace& trace) : trace_(trace) {}
  int32_t Number(const std::string& text) {
    if (text.empty()) return 0;
    const auto [it, is_new] = numbers_.try_emplace(text, trace_.texts_size() + 1);
    if (is_new) trace_.add_texts(text);
    return it->second;
  }

 private:
  v1::RankTrace& trace_;
  absl::flat_hash_map<std::string, int32_t> numbers_;
};

v1::TraceTrack ToProto(engine::TraceTrack track) {
  switch (track) {
    case engine::TraceTrack::kTraining:
      return v1::TRACE_TRACK_TRAINING;
    case engine::TraceTrack::kCommunication:
      return v1::TRACE_TRACK_COMMUNICATION;
    case engine::TraceTrack::kCheckpoint:
      return v1::TRACE_TRACK_CHECKPOINT;
  }
  return v1::TRACE_TRACK_UNSPECIFIED;
}

}  // namespace

v1::RankTrace ToProto(const engine::Trace& trace) {
  v1::RankTrace out;
  const int64_t begin = absl::ToUnixNanos(trace.begin);
  out.mutable_begin_time()->set_seconds(begin / 1'000'000'000);
  out.mutable_begin_time()->set_nanos(static_cast<int32_t>(begin % 1'000'000'000));
  out.set_dropped_spans(trace.dropped);
  Texts texts(out);
  for (const engine::TraceSpan& span : trace.spans) {
    v1::TraceSpan& to = *out.add_spans();
    to.set_track(ToProto(span.track));
    to.set_name(texts.Number(span.name));
    to.set_category(texts.Number(span.category));
    to.set_group(texts.Number(span.group));
    to.set_start_ns(absl::ToInt64Nanoseconds(span.start));
    to.set_duration_ns(absl::ToInt64Nanoseconds(span.duration));
    to.set_step(span.step);
    to.set_resolution(static_cast<int32_t>(span.resolution));
    to.set_bytes(span.bytes);
    to.set_unfinished(span.unfinished);
  }
  return out;
}

Profiler::Profiler(engine::TraceRecorder& trace, internal::v1::ReportProfileRequest who, Send send,
                   absl::Duration retry)
    : trace_(trace),
      send_(std::move(send)),
      retry_(retry),
      who_(std::move(who)),
      thread_("profile", [this] { Run(); }) {}

Profiler::~Profiler() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.Join();
}

void Profiler::StepDone(const engine::StepReport& report) {
  if (last_step_ >= 0 && report.step >= last_step_) {
    internal::v1::ReportProfileRequest done = who_;
    done.set_trace(ToProto(trace_.Stop()).SerializeAsString());
    last_step_ = -1;
    absl::MutexLock lock(&mu_);
    unsent_ = std::move(done);
  }
  if (report.trace.number == 0) return;
  who_.set_profile(report.trace.number);
  who_.set_first_step(report.step + 1);
  last_step_ = report.step + report.trace.steps;
  trace_.Start(who_.first_step());
}

void Profiler::Run() {
  while (true) {
    std::optional<internal::v1::ReportProfileRequest> report;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &Profiler::HasWork));
      if (!unsent_) return;
      report.swap(unsent_);
    }
    SendOne(*report);
  }
}

void Profiler::SendOne(const internal::v1::ReportProfileRequest& report) {
  absl::Status status;
  for (int attempt = 1;; ++attempt) {
    status = send_(report);
    const bool away = status.code() == absl::StatusCode::kUnavailable ||
                      status.code() == absl::StatusCode::kDeadlineExceeded;
    absl::MutexLock lock(&mu_);
    if (!away || attempt == kAttempts || stopping_ || unsent_.has_value()) break;
    AwaitFor(mu_, absl::Condition(this, &Profiler::HasWork), retry_);
  }
  if (!status.ok())
    LogWarn("profile_dropped", {{"profile", report.profile()}, {"error", StatusText(status)}});
}

}  // namespace seer::worker
