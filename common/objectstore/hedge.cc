#include "common/objectstore/hedge.h"

#include <algorithm>

namespace seer {

absl::Duration HedgePolicy::BeginRead() {
  absl::MutexLock lock(&mu_);
  saved_ = std::min<double>(kSavedHedges, saved_ + options_.ratio);
  return delay_;
}

bool HedgePolicy::TakeHedge() {
  absl::MutexLock lock(&mu_);
  if (saved_ < 1) return false;
  saved_ -= 1;
  return true;
}

void HedgePolicy::RecordLatency(absl::Duration latency) {
  absl::MutexLock lock(&mu_);
  latencies_[recorded_++ % kWindow] = latency;
  // Sorting the window costs some microseconds: not for every read.
  if (recorded_ >= kMinSamples && recorded_ % 8 == kMinSamples % 8) Update();
}

void HedgePolicy::Update() {
  std::array<absl::Duration, kWindow> sorted = latencies_;
  const auto count = static_cast<size_t>(std::min<uint64_t>(recorded_, kWindow));
  const auto rank =
      std::min(count - 1, static_cast<size_t>(options_.quantile * static_cast<double>(count)));
  std::nth_element(sorted.begin(), sorted.begin() + rank, sorted.begin() + count);
  delay_ = std::max(options_.min_delay, sorted[rank]);
}

}  // namespace seer
