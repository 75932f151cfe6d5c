// Records this process's spans for a test.
#pragma once

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/trace/tracer.h"

namespace seer::testing {

class SpanList final : public SpanRecorder {
 public:
  explicit SpanList(const Sampler& sampler = {}) { SetSpanRecorder(this, sampler); }
  ~SpanList() override { SetSpanRecorder(nullptr); }
  void Take(SpanRecord span) override {
    absl::MutexLock lock(&mu_);
    spans_.push_back(std::move(span));
  }
  // Those that ended, in that order; waits for `least` of them.
  std::vector<SpanRecord> Take(size_t least = 0) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return spans_.size() >= least; };
    mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(60));
    return std::exchange(spans_, {});
  }

 private:
  absl::Mutex mu_;
  std::vector<SpanRecord> spans_ ABSL_GUARDED_BY(mu_);
};

}  // namespace seer::testing
