// How the failures of a rank become exit codes.
#include "worker/trainer/outcome.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/base/trainer_exit.h"

namespace seer::worker {
namespace {

int CodeOf(absl::string_view reason, absl::StatusCode code = absl::StatusCode::kUnavailable) {
  const RankOutcome outcome = OutcomeOf(absl::Status(Error(code, reason, "what happened")));
  EXPECT_EQ(outcome.reason, reason);
  EXPECT_EQ(outcome.message, "what happened");
  return outcome.exit_code;
}

TEST(OutcomeTest, WorkThatEndedWellSaysNothing) {
  EXPECT_EQ(OutcomeOf(Ended::kDone).exit_code, kExitDone);
  EXPECT_EQ(OutcomeOf(Ended::kPaused).exit_code, kExitPaused);
  EXPECT_EQ(OutcomeOf(Ended::kPaused).reason, "");
}

TEST(OutcomeTest, ASpecThatCannotBeRunIsTheUsersError) {
  EXPECT_EQ(CodeOf(reason::kInvalidSpec, absl::StatusCode::kInvalidArgument), kExitUserError);
  EXPECT_EQ(CodeOf(reason::kInvalidSpec, absl::StatusCode::kNotFound), kExitUserError)
      << "a preset that is not there";
  EXPECT_EQ(CodeOf(reason::kOutOfRange, absl::StatusCode::kInvalidArgument), kExitUserError);
  EXPECT_EQ(OutcomeOf(absl::InvalidArgumentError("x")).exit_code, kExitUserError);
  EXPECT_EQ(CodeOf(reason::kCheckpointMismatch, absl::StatusCode::kFailedPrecondition),
            kExitUserError);
}

TEST(OutcomeTest, DataThatIsNotThereIsNotRetried) {
  for (absl::string_view reason :
       {reason::kTooManyBadImages, reason::kPoolNotFound, reason::kPoolEmpty, reason::kPoolCorrupt,
        reason::kGenerationNotFound, reason::kNoLabels})
    EXPECT_EQ(CodeOf(reason), kExitData) << reason;
}

TEST(OutcomeTest, OutOfMemory) {
  EXPECT_EQ(CodeOf(reason::kOutOfMemory, absl::StatusCode::kResourceExhausted), kExitOutOfMemory);
}

TEST(OutcomeTest, RefusedStepsFailTheJobOrRollItBack) {
  EXPECT_EQ(CodeOf(reason::kNonFinite, absl::StatusCode::kFailedPrecondition), kExitNonFinite);
  EXPECT_EQ(CodeOf(reason::kNonFinite, absl::StatusCode::kAborted), kExitRollBack);
}

TEST(OutcomeTest, ABrokenGang) { EXPECT_EQ(CodeOf(reason::kCollectiveFailed), kExitCollective); }

TEST(OutcomeTest, StorageThatFails) {
  EXPECT_EQ(CodeOf(reason::kDiskFull, absl::StatusCode::kResourceExhausted), kExitStorage);
  EXPECT_EQ(CodeOf(reason::kStorageFailed), kExitStorage);
  EXPECT_EQ(CodeOf(reason::kStorageFailed, absl::StatusCode::kPermissionDenied), kExitStorage);
  EXPECT_EQ(CodeOf(reason::kObjectNotFound, absl::StatusCode::kNotFound), kExitStorage);
  EXPECT_EQ(CodeOf(reason::kCheckpointNotFound, absl::StatusCode::kNotFound), kExitStorage);
  EXPECT_EQ(CodeOf(reason::kCheckpointCorrupt, absl::StatusCode::kDataLoss), kExitStorage);
}

TEST(OutcomeTest, AStaleAttempt) {
  EXPECT_EQ(CodeOf(reason::kStaleAttempt, absl::StatusCode::kFailedPrecondition), kExitStale);
}

TEST(OutcomeTest, EverythingElseIsInternalAndRetried) {
  EXPECT_EQ(CodeOf(reason::kDataStalled, absl::StatusCode::kDeadlineExceeded), kExitInternal);
  EXPECT_EQ(CodeOf(reason::kServiceUnreachable), kExitInternal);
  EXPECT_EQ(CodeOf(reason::kInternal, absl::StatusCode::kInternal), kExitInternal);
  const RankOutcome bare = OutcomeOf(absl::UnknownError("bare"));
  EXPECT_EQ(bare.exit_code, kExitInternal);
  EXPECT_EQ(bare.reason, reason::kInternal);
  EXPECT_EQ(bare.message, "bare");
}

// A coordinator that shuts down cancels the calls of its trainers: nobody was paused by that.
TEST(OutcomeTest, ACancelledCallIsNoPause) {
  EXPECT_EQ(OutcomeOf(absl::CancelledError("CANCELLED")).exit_code, kExitInternal);
}

TEST(OutcomeTest, CodesDiffer) {
  const std::vector<int> codes = {kExitDone,    kExitPaused,      kExitUserError,
                                  kExitData,    kExitOutOfMemory, kExitCollective,
                                  kExitStorage, kExitStale,       kExitInternal};
  EXPECT_EQ(std::set<int>(codes.begin(), codes.end()).size(), codes.size());
}

}  // namespace
}  // namespace seer::worker
