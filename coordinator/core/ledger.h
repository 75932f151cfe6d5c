// Where a job's time went: every second since its creation, until its end, in exactly one class.
// Time is counted by the steady clock, and by the wall clock over restarts of the coordinator, so
// that the classes add up to wall time unless the clock is set meanwhile.
#pragma once

#include <array>
#include <cstdint>

#include "absl/time/time.h"
#include "coordinator/core/moment.h"

namespace seer::coordinator {

enum class TimeClass {
  kProductive,  // steps that had not been done before
  kQueue,       // waits for devices, or for jobs that it comes after
  kStart,       // from an assignment to the first step; waits between two attempts
  kData,        // steps that wait for data
  kCheckpoint,  // steps that wait for a checkpoint; the last one; pausing
  kRedo,        // steps that had been done before; work that was lost before it was reported
  kHang,        // since the last step of a gang that stood still
  kPreempt,     // gives its devices up for another job or a drain, and waits for others
  kIdle,        // paused
};
inline constexpr size_t kTimeClasses = 9;
const char* TimeClassName(TimeClass time_class);  // "productive"

using TimeShares = std::array<double, kTimeClasses>;  // seconds, by TimeClass

// What an attempt's reports add up to since it began.
struct TrainedSoFar {
  int64_t step = 0;  // steps done, of the job
  double train_seconds = 0, data_wait_seconds = 0, checkpoint_seconds = 0;
};

class Ledger {
 public:
  // As it is stored.
  struct Record {
    TimeShares shares{};
    absl::Time until;       // counted so far
    TrainedSoFar last;      // of the attempt's newest report
    bool training = false;  // the attempt has reported a step
  };

  // Begins at `now`.
  void Open(Moment now);
  // All that is not in a class yet goes into `time_class`. Adds what it counts to `counted`.
  void Count(TimeClass time_class, Moment now, TimeShares& counted);
  // A report of the running attempt: what is not in a class yet is split by what the report says
  // since the one before. Of an attempt's first report the rest goes to kStart. `highest_step`:
  // that the job had reached before. Without a new step nothing is counted.
  void CountTraining(const TrainedSoFar& report, int64_t highest_step, Moment now,
                     TimeShares& counted);
  // An attempt begins with `step` steps done.
  void BeginAttempt(int64_t step);
  bool training() const { return record_.training; }  // the attempt has reported a step

  // Seconds that are in no class yet.
  double Pending(Moment now) const;
  const TimeShares& shares() const { return record_.shares; }

  const Record& record() const { return record_; }
  static Ledger From(const Record& record);

 private:
  void Add(TimeClass time_class, double seconds, TimeShares& counted);
  void CountedUntil(Moment now);

  Record record_;
  // As record_.until; infinite: counted by another process.
  absl::Duration until_steady_ = -absl::InfiniteDuration();
};

}  // namespace seer::coordinator
