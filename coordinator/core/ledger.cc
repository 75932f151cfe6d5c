#include "coordinator/core/ledger.h"

#include <algorithm>

namespace seer::coordinator {

const char* TimeClassName(TimeClass time_class) {
  static constexpr const char* kNames[] = {"productive", "queue", "start",   "data", "checkpoint",
                                           "redo",       "hang",  "preempt", "idle"};
  static_assert(std::size(kNames) == kTimeClasses);
  return kNames[static_cast<size_t>(time_class)];
}

void Ledger::Open(Moment now) { CountedUntil(now); }

Ledger Ledger::From(const Record& record) {
  Ledger ledger;
  ledger.record_ = record;
  return ledger;
}

double Ledger::Pending(Moment now) const {
  const absl::Duration elapsed = until_steady_ == -absl::InfiniteDuration()
                                     ? now.wall - record_.until
                                     : now.steady - until_steady_;
  return std::max(absl::ToDoubleSeconds(elapsed), 0.0);
}

void Ledger::CountedUntil(Moment now) {
  record_.until = now.wall;
  until_steady_ = now.steady;
}

void Ledger::Add(TimeClass time_class, double seconds, TimeShares& counted) {
  record_.shares[static_cast<size_t>(time_class)] += seconds;
  counted[static_cast<size_t>(time_class)] += seconds;
}

void Ledger::Count(TimeClass time_class, Moment now, TimeShares& counted) {
  Add(time_class, Pending(now), counted);
  CountedUntil(now);
}

void Ledger::BeginAttempt(int64_t step) {
  record_.last = {step};
  record_.training = false;
}

void Ledger::CountTraining(const TrainedSoFar& report, int64_t highest_step, Moment now,
                           TimeShares& counted) {
  const int64_t steps = report.step - record_.last.step;
  if (steps <= 0) return;
  const auto since = [](double total, double before) { return std::max(total - before, 0.0); };
  const double data = since(report.data_wait_seconds, record_.last.data_wait_seconds);
  const double checkpoint = since(report.checkpoint_seconds, record_.last.checkpoint_seconds);
  const double trained = since(report.train_seconds, record_.last.train_seconds);
  const double again =
      static_cast<double>(std::clamp<int64_t>(highest_step - record_.last.step, 0, steps)) /
      static_cast<double>(steps);
  const double pending = Pending(now), said = trained + checkpoint;
  // Reports come a little late: what they say fills the time between them.
  double scale = said > 0 ? pending / said : 0;
  if (!record_.training) scale = std::min(scale, 1.0);
  const double waited = std::min(data, trained);
  Add(TimeClass::kData, scale * waited, counted);
  Add(TimeClass::kCheckpoint, scale * checkpoint, counted);
  Add(TimeClass::kRedo, scale * (trained - waited) * again, counted);
  Add(TimeClass::kProductive, scale * (trained - waited) * (1 - again), counted);
  const double rest = said > 0 ? pending - scale * said : pending;
  if (rest > 0) Add(record_.training ? TimeClass::kProductive : TimeClass::kStart, rest, counted);
  record_.training = true;
  record_.last = report;
  CountedUntil(now);
}

}  // namespace seer::coordinator
