#include "worker/trainer/outcome.h"

#include "common/base/error.h"
#include "common/base/trainer_exit.h"

namespace seer::worker {

RankOutcome OutcomeOf(Ended ended) {
  return {ended == Ended::kPaused ? kExitPaused : kExitDone, "", ""};
}

RankOutcome OutcomeOf(const absl::Status& failure) {
  RankOutcome outcome;
  const auto detail = GetErrorDetail(failure);
  outcome.reason = detail ? detail->reason : std::string(reason::kInternal);
  outcome.message = std::string(failure.message());
  const auto is = [&](absl::string_view reason) { return outcome.reason == reason; };
  if (is(reason::kStaleAttempt)) {
    outcome.exit_code = kExitStale;
  } else if (is(reason::kOutOfMemory)) {
    outcome.exit_code = kExitOutOfMemory;
  } else if (is(reason::kCollectiveFailed)) {
    outcome.exit_code = kExitCollective;
  } else if (is(reason::kDiskFull) || is(reason::kStorageFailed) || is(reason::kObjectNotFound) ||
             is(reason::kCheckpointNotFound) || is(reason::kCheckpointCorrupt)) {
    outcome.exit_code = kExitStorage;
  } else if (is(reason::kTooManyBadImages) || is(reason::kPoolNotFound) || is(reason::kPoolEmpty) ||
             is(reason::kPoolCorrupt) || is(reason::kGenerationNotFound) || is(reason::kNoLabels)) {
    outcome.exit_code = kExitData;
  } else if (is(reason::kNonFinite)) {
    outcome.exit_code =
        failure.code() == absl::StatusCode::kAborted ? kExitRollBack : kExitNonFinite;
  } else if (failure.code() == absl::StatusCode::kInvalidArgument || is(reason::kInvalidSpec) ||
             is(reason::kCheckpointMismatch)) {
    outcome.exit_code = kExitUserError;
  } else {
    outcome.exit_code = kExitInternal;
  }
  return outcome;
}

}  // namespace seer::worker
