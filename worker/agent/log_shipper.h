// Lines of the ranks' output on their way to the coordinator: held while it is away, up to a bound,
// and sent in messages of at most 500. Not thread-safe; the agent's loop owns it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "absl/time/time.h"
#include "common/metrics/registry.h"
#include "seer/internal/v1/agent.pb.h"
#include "worker/agent/assignment.h"

namespace seer::worker {

class LogShipper {
 public:
  // Lines that wait for a connection; beyond either bound the oldest go first.
  static constexpr size_t kMaxHeldLines = 10000, kMaxHeldBytes = 16 << 20;
  static constexpr size_t kLinesAMessage = 500;
  // False: another message would not be taken now.
  using MaySend = std::function<bool()>;
  // False: not taken, nothing was sent.
  using Send = std::function<bool(const internal::v1::AgentMessage&)>;

  explicit LogShipper(MetricsRegistry& metrics);

  // `text` as it was printed: control characters and what is not UTF-8 are replaced.
  void Take(const Assignment& from, absl::Time now, std::string text);
  // Sends what is held, oldest first, until it is all gone or no more is taken.
  void Ship(const MaySend& may_send, const Send& send);
  // Lines that were taken by `send` but not sent: they go first again.
  void PutBack(const internal::v1::LogLines& lines);
  size_t held() const { return lines_.size(); }

 private:
  void DropOldest();

  Counter& dropped_;
  size_t bytes_ = 0;  // of the texts
  std::deque<internal::v1::LogLines::Line> lines_;
};

}  // namespace seer::worker
