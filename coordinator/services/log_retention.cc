#include "coordinator/services/log_retention.h"

#include <vector>

#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {

namespace {

constexpr absl::Duration kLongestKeep = absl::Hours(24 * 365 * 1000);  // longer is "forever"

}  // namespace

absl::StatusOr<absl::Duration> ParseKeepLogs(const std::string& text) {
  if (text == "forever") return absl::InfiniteDuration();
  return ReadDurationFlag("--keep-logs", text, {.most = kLongestKeep});
}

LogRetention::LogRetention(CoreRunner& runner, LogStore& logs, Clock& clock,
                           CoordinatorMetrics& metrics, absl::Duration keep, absl::Duration period)
    : runner_(runner),
      logs_(logs),
      clock_(clock),
      metrics_(metrics),
      keep_(keep),
      thread_("log-retention", period, period, [this] { Look(); }) {}

void LogRetention::Look() {
  if (keep_ == absl::InfiniteDuration()) return;
  const std::vector<std::string> kept = logs_.Jobs();
  std::vector<std::string> over;
  const absl::Status read = runner_.Read([&](const Core& core, Store&) {
    for (const std::string& id : kept) {
      // What is not this coordinator's stays.
      const auto job = core.jobs().find(id);
      if (job != core.jobs().end() && Ended(job->second.state) &&
          job->second.ended + keep_ <= clock_.Now())
        over.push_back(id);
    }
    return absl::OkStatus();
  });
  if (!read.ok()) return;  // it stands by, or the store is away: the next look asks again
  for (const std::string& id : over) {
    const absl::StatusOr<int64_t> bytes = logs_.Drop(id);
    if (!bytes.ok()) {
      LogWarn("logs_not_dropped", {{"job", id}, {"error", StatusText(bytes.status())}});
    } else if (*bytes > 0) {
      metrics_.logs_dropped_bytes.Add(static_cast<double>(*bytes));
      LogInfo("logs_dropped", {{"job", id}, {"bytes", *bytes}});
    }
  }
}

}  // namespace seer::coordinator
