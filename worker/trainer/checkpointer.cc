#include "worker/trainer/checkpointer.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/await.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/trace/tracer.h"

namespace seer::worker {
namespace {

constexpr absl::Duration kFirstPoll = absl::Milliseconds(20), kMaxPoll = absl::Seconds(1);

// The coordinator did not judge the report.
bool IsAway(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
      return !GetErrorDetail(status);
    default:
      return false;
  }
}

}  // namespace

Checkpointer::Checkpointer(ObjectStore& store, std::string prefix, Report report,
                           MetricsRegistry& metrics, engine::TraceRecorder* trace)
    : store_(store),
      prefix_(std::move(prefix)),
      report_(std::move(report)),
      trace_(trace),
      seconds_(metrics.AddHistogram("seer_checkpoint_seconds", "Time of a checkpoint's stages.",
                                    {.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300})),
      bytes_(metrics.AddGauge("seer_checkpoint_bytes",
                              "Size of this rank's file of the newest checkpoint.")),
      failures_(metrics.AddCounter("seer_checkpoint_failures_total",
                                   "Checkpoints that failed, by reason.")),
      thread_("checkpoint", [this] { Run(); }) {}

Checkpointer::~Checkpointer() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.Join();
}

absl::Status Checkpointer::Submit(std::unique_ptr<engine::CheckpointSnapshot> snapshot) {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &Checkpointer::Idle));
  if (status_.ok()) snapshot_ = std::move(snapshot);
  trace_of_snapshot_ = CurrentTrace();
  return status_;
}

absl::Status Checkpointer::Finish() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &Checkpointer::Idle));
  return status_;
}

absl::Status Checkpointer::status() const {
  absl::MutexLock lock(&mu_);
  return status_;
}

void Checkpointer::ObserveSnapshot(absl::Duration took) {
  seconds_.Observe(absl::ToDoubleSeconds(took), {{"stage", "snapshot"}});
}

void Checkpointer::Run() {
  while (true) {
    engine::CheckpointSnapshot* snapshot;
    TraceContext trace;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &Checkpointer::HasWork));
      if (stopping_) return;
      snapshot = snapshot_.get();
      trace = trace_of_snapshot_;
    }
    const WithinTrace scope(trace);
    const absl::Status written = Write(*snapshot);
    const int64_t step = snapshot->step();
    absl::MutexLock lock(&mu_);
    snapshot_.reset();
    if (written.ok() || !status_.ok()) continue;
    status_ = WithContext(written, absl::StrCat("checkpoint at step ", step));
    const auto detail = GetErrorDetail(written);
    failures_.Add(1, {{"reason", detail ? detail->reason : "UNKNOWN"}});
  }
}

absl::Status Checkpointer::Write(engine::CheckpointSnapshot& snapshot) {
  Clock& clock = Clock::Real();
  const absl::Duration start = clock.Steady();
  const int64_t step = snapshot.step();
  SEER_FAILPOINT("trainer.checkpoint_write");
  engine::CheckpointFile file;
  SEER_RETURN_IF_ERROR(InSpan("write checkpoint", [&](Span& traced) -> absl::Status {
    traced.Set("seer.step", step);
    traced.Set("seer.bytes", snapshot.size_bytes());
    const engine::TraceScope span(trace_, engine::TraceTrack::kCheckpoint, "write checkpoint",
                                  "checkpoint", {.bytes = snapshot.size_bytes()});
    SEER_ASSIGN_OR_RETURN(file, snapshot.Write(store_, absl::StrCat(prefix_, "/", step)));
    return absl::OkStatus();
  }));
  const absl::Duration written = clock.Steady();
  seconds_.Observe(absl::ToDoubleSeconds(written - start), {{"stage", "write"}});
  bytes_.Set(static_cast<double>(file.size_bytes));
  SEER_RETURN_IF_ERROR(InSpan("commit checkpoint", [&](Span& traced) {
    traced.Set("seer.step", step);
    return Commit(step, file);
  }));
  seconds_.Observe(absl::ToDoubleSeconds(clock.Steady() - written), {{"stage", "commit"}});
  LogInfo("checkpoint_committed", {{"step", step}, {"bytes", file.size_bytes}});
  return absl::OkStatus();
}

absl::Status Checkpointer::Commit(int64_t step, const engine::CheckpointFile& file) {
  const engine::TraceScope span(trace_, engine::TraceTrack::kCheckpoint, "wait for the commit",
                                "checkpoint");
  absl::BitGen random;
  absl::StatusOr<bool> committed = report_(step, file);
  const WithinTrace repeats(UnsampledTrace());  // which are not spans
  for (absl::Duration poll = kFirstPoll;; poll = std::min(poll * 2, kMaxPoll)) {
    if (committed.ok() && *committed) return absl::OkStatus();
    if (!committed.ok() && !IsAway(committed.status())) return committed.status();
    {
      absl::MutexLock lock(&mu_);
      AwaitFor(mu_, absl::Condition(&stopping_), poll * absl::Uniform(random, 0.5, 1.0));
      if (stopping_) return absl::CancelledError("stopping");
    }
    committed = report_(step, file);
  }
}

}  // namespace seer::worker
