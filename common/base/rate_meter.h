// How fast a count grows, over the last half minute: what came at once, or before a pause, counts
// only so long. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/time/time.h"

namespace seer {

class RateMeter {
 public:
  static constexpr absl::Duration kWindow = absl::Seconds(30);

  // `count` at `now`, a steady time; neither falls.
  void Add(absl::Duration now, int64_t count) {
    counts_.emplace_back(now, count);
    while (counts_.size() > 2 && counts_[1].first <= now - kWindow) counts_.pop_front();
  }
  // 0: not known yet.
  double PerSecond() const {
    if (counts_.size() < 2) return 0;
    const auto& [first_time, first] = counts_.front();
    const auto& [last_time, last] = counts_.back();
    const double seconds = absl::ToDoubleSeconds(last_time - first_time);
    return seconds > 0 ? static_cast<double>(last - first) / seconds : 0;
  }

 private:
  std::deque<std::pair<absl::Duration, int64_t>> counts_;
};

}  // namespace seer
