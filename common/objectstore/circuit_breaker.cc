#include "common/objectstore/circuit_breaker.h"

namespace seer {

CircuitBreaker::Answer CircuitBreaker::Admit(absl::Duration now) {
  absl::MutexLock lock(&mu_);
  switch (state_) {
    case State::kClosed:
      return {true, {}};
    case State::kHalfOpen:
      return {false, options_.open_for / 10};  // a probe is under way
    case State::kOpen:
      break;
  }
  if (now < probe_at_) return {false, probe_at_ - now};
  state_ = State::kHalfOpen;
  return {true, {}};
}

CircuitBreaker::State CircuitBreaker::Record(bool success, absl::Duration now) {
  absl::MutexLock lock(&mu_);
  if (success) {
    failures_ = 0;
    state_ = State::kClosed;
  } else if (state_ == State::kHalfOpen || ++failures_ >= options_.failures) {
    // Failures of calls that began before it opened do not put the probe off.
    if (state_ != State::kOpen) probe_at_ = now + options_.open_for;
    state_ = State::kOpen;
  }
  return state_;
}

}  // namespace seer
