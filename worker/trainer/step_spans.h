// Spans of steps: one of the first, then one a block of steps, with where its time went. A step
// costs two additions more. Of the training thread, within whose trace they are.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/trace/tracer.h"
#include "engine/session/train_session.h"

namespace seer::worker {

class StepSpans {
 public:
  static constexpr absl::Duration kBlock = absl::Seconds(10);  // and the step that ends it

  explicit StepSpans(Clock& clock) : clock_(clock) { BeginBlock(); }
  ~StepSpans() { EndBlock(); }

  // `waited`: seconds for its batch.
  void StepDone(const engine::StepReport& report, double waited);
  // Around what is no step, as a checkpoint.
  void BeginBlock();
  void EndBlock();

 private:
  Clock& clock_;
  bool first_ = true;  // no step was done yet
  Span span_;
  absl::Duration begun_;
  int64_t steps_ = 0, last_step_ = 0;
  double loss_ = 0;                                     // of the last
  double input_ = 0, compute_ = 0, communication_ = 0;  // seconds
};

}  // namespace seer::worker
