#include "worker/trainer/progress.h"

#include "common/base/await.h"

#include <utility>

namespace seer::worker {

ProgressReporter::ProgressReporter(Send send, absl::Duration period)
    : send_(std::move(send)), period_(period), thread_("progress", [this] { Run(); }) {}

ProgressReporter::~ProgressReporter() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.Join();
}

void ProgressReporter::Update(internal::v1::ReportProgressRequest report) {
  absl::MutexLock lock(&mu_);
  newest_ = std::move(report);
}

void ProgressReporter::Run() {
  while (true) {
    std::optional<internal::v1::ReportProgressRequest> report;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &ProgressReporter::HasWork));
      if (!newest_) return;
      report.swap(newest_);
    }
    const absl::StatusOr<bool> pause = send_(*report);
    if (pause.ok() && *pause) pause_ = true;
    if (pause.status().code() == absl::StatusCode::kFailedPrecondition) stale_ = true;
    absl::MutexLock lock(&mu_);
    // Sent again, unless a newer one is there; the last one is tried once.
    if (!pause.ok() && !stale_ && !newest_ && !stopping_) newest_ = std::move(report);
    AwaitFor(mu_, absl::Condition(&stopping_), period_);
  }
}

}  // namespace seer::worker
