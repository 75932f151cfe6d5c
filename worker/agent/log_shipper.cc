#include "worker/agent/log_shipper.h"

#include <algorithm>
#include <utility>

#include "worker/agent/text.h"

namespace seer::worker {
LogShipper::LogShipper(MetricsRegistry& metrics)
    : dropped_(metrics.AddCounter(
          "seer_worker_dropped_log_lines_total",
          "Log lines that were not shipped: the coordinator was away for too long.")) {}

void LogShipper::Take(const Assignment& from, absl::Time now, std::string text) {
  internal::v1::LogLines::Line line;
  const int64_t nanos = absl::ToUnixNanos(now);
  line.mutable_time()->set_seconds(nanos / 1'000'000'000);
  line.mutable_time()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  line.set_job(from.job);
  line.set_attempt_id(from.attempt_id);
  line.set_attempt(from.attempt);
  line.set_rank(from.rank);
  line.set_text(CleanText(std::move(text)));
  bytes_ += line.text().size();
  lines_.push_back(std::move(line));
  while (lines_.size() > kMaxHeldLines || bytes_ > kMaxHeldBytes) DropOldest();
}

void LogShipper::DropOldest() {
  bytes_ -= lines_.front().text().size();
  lines_.pop_front();
  dropped_.Add();
}

void LogShipper::Ship(const MaySend& may_send, const Send& send) {
  while (!lines_.empty() && may_send()) {
    const size_t count = std::min(lines_.size(), kLinesAMessage);
    internal::v1::AgentMessage message;
    for (size_t i = 0; i < count; ++i) *message.mutable_logs()->add_lines() = lines_[i];
    if (!send(message)) return;
    for (size_t i = 0; i < count; ++i) {
      bytes_ -= lines_.front().text().size();
      lines_.pop_front();
    }
  }
}

void LogShipper::PutBack(const internal::v1::LogLines& lines) {
  for (auto line = lines.lines().rbegin(); line != lines.lines().rend(); ++line) {
    bytes_ += line->text().size();
    lines_.push_front(*line);
  }
  while (lines_.size() > kMaxHeldLines || bytes_ > kMaxHeldBytes) DropOldest();
}

}  // namespace seer::worker
