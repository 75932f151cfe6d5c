#include "worker/trainer/step_spans.h"

namespace seer::worker {

void StepSpans::BeginBlock() {
  if (!Tracing()) return;
  span_ = Span::Child(first_ ? "first step" : "steps");
  begun_ = clock_.Steady();
  steps_ = 0;
  input_ = compute_ = communication_ = 0;
}

void StepSpans::StepDone(const engine::StepReport& report, double waited) {
  if (!span_.recording()) return;
  const engine::PhaseSeconds& phases = report.phases;
  ++steps_;
  last_step_ = report.step;
  loss_ = report.loss;
  input_ += waited + phases.copy;
  compute_ += phases.augment + phases.forward + phases.loss + phases.backward + phases.optimizer;
  communication_ += phases.communication;
  if (!first_ && clock_.Steady() - begun_ < kBlock) return;
  first_ = false;
  EndBlock();
  BeginBlock();
}

void StepSpans::EndBlock() {
  if (steps_ > 0) {
    span_.Set("seer.step.first", last_step_ - steps_ + 1);
    span_.Set("seer.steps", steps_);
    span_.Set("seer.loss", loss_);
    span_.Set("seer.input_seconds", input_);
    span_.Set("seer.compute_seconds", compute_);
    span_.Set("seer.communication_seconds", communication_);
    span_.End();
    steps_ = 0;
  } else {
    span_.Discard();
  }
}

}  // namespace seer::worker
