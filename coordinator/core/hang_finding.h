// Why a gang makes no step, and which rank is slow: told by what its ranks do, from the numbers of
// the collectives that each has entered. Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "coordinator/core/model.h"

namespace seer::coordinator {

// How long an attempt that has made a step may make none before it is looked at: so many of its own
// steps, at least `floor`, at most `no_progress_timeout`.
inline constexpr double kHangSteps = 20;
absl::Duration HangLimit(double step_seconds, absl::Duration floor,
                         absl::Duration no_progress_timeout);

enum class HangKind {
  kNothing,     // the ranks move, or too little is known
  kStopped,     // a process is stopped by a signal or a debugger
  kMissing,     // some ranks wait in a collective that others never entered
  kNetwork,     // all entered it, and it does not end
  kStuck,       // nobody waits for the rank, and it does not go on
  kData,        // as kMissing or kStuck, but the rank waits for data
  kCheckpoint,  // the same, for storage
};

struct HangFinding {
  HangKind kind = HangKind::kNothing;
  // Another attempt may do better: the gang is to be ended. Never for kData and kCheckpoint, which
  // have limits of their own, and would wait again.
  bool abort = false;
  int rank = -1;                               // the culprit; -1: none
  FailureClass failure = FailureClass::kNone;  // whose fault it is
  std::string sign;                            // of the class
  // For people: "rank 3 on w2 never entered all-reduce 812 of gradients: waiting for data for 41s;
  // ranks 0-2 wait in it".
  std::string message;
};

// `now`: steady time. Looks that are older than `since` count for nothing. A rank counts as one
// that does not move if it has done the same for half of `limit` (all of it twice, if nobody waits
// for it).
HangFinding FindHang(const Attempt& attempt, absl::Duration now, absl::Duration since,
                     absl::Duration limit);

// "rank 0: waiting for data for 9m50s; ranks 1-3: ..."; empty: nothing is known.
std::string DescribeRanks(const Attempt& attempt, absl::Duration now);

// Means of the gang's steps: the (lower) median rank in each part.
struct StepMedian {
  int ranks = 0;  // that have made enough steps to count
  double input_seconds = 0, host_seconds = 0, compute_seconds = 0;
};
StepMedian MedianOf(const Attempt& attempt);

// What the rank takes more than 1.5 times the median for, by at least a tenth of its own step:
// "compute", "input" or "host"; null: nothing.
inline constexpr double kSlowFactor = 1.5;
const char* SlowPart(const RankActivity& activity, const StepMedian& median);
// "rank 3 on w2 is slow: compute 1.92 s a step, the median of its gang is 1.10 s (...)".
std::string DescribeSlow(const Attempt& attempt, int rank, const std::string& part,
                         const StepMedian& median);

// How much longer the slowest rank's step takes than the fastest's, but for waiting; nothing: fewer
// than two ranks say.
std::optional<double> RankSkewSeconds(const Attempt& attempt);

}  // namespace seer::coordinator
