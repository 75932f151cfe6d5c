#include "coordinator/core/retry.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"

namespace seer::coordinator {

namespace {

enum Suspicion { kNone, kVictimOfUs, kVictimOfPeers, kOwnFault, kHopeless };

// A rank that ends because another one did says so with kExitCollective,
// or was killed by us: look for the others first.
Suspicion Suspect(const Rank& rank) {
  switch (rank.exit_code) {
    case kExitDone:
    case kExitPaused:
      return kNone;
    case kExitUserError:
    case kExitData:
    case kExitNonFinite:
      return kHopeless;
    case kExitCollective:
    case kExitStale:
      return kVictimOfPeers;
    case kLost:
    case 128 + 9:
    case 128 + 15:
      return rank.killed ? kVictimOfUs : kOwnFault;
    default:
      return kOwnFault;
  }
}

std::string Describe(size_t number, const Rank& rank) {
  std::string text = absl::StrCat("rank ", number, " on ", rank.worker);
  if (rank.exit_code == kLost) {
    absl::StrAppend(&text, " was lost with its worker");
  } else if (rank.exit_code > 128) {
    absl::StrAppend(&text, " was killed by signal ", rank.exit_code - 128);
  } else {
    absl::StrAppend(&text, " exited with ", rank.exit_code);
  }
  if (!rank.message.empty()) absl::StrAppend(&text, ": ", rank.message);
  return text;
}

}  // namespace

bool Failed(const Rank& rank) { return rank.state == RankState::kExited && Suspect(rank) != kNone; }

Outcome Judge(const Attempt& attempt) {
  Outcome outcome;
  Suspicion worst = kNone;
  bool all_done = true;
  for (size_t i = 0; i < attempt.ranks.size(); ++i) {
    all_done = all_done && attempt.ranks[i].exit_code == kExitDone;
    const Suspicion suspicion = Suspect(attempt.ranks[i]);
    if (suspicion <= worst) continue;
    worst = suspicion;
    outcome.rank = static_cast<int>(i);
  }
  if (worst == kNone) {
    outcome.verdict = all_done ? Verdict::kSucceeded : Verdict::kPaused;
    return outcome;
  }
  outcome.verdict = worst == kHopeless ? Verdict::kFail : Verdict::kRetry;
  if (worst <= kVictimOfPeers && !attempt.stop_reason.empty()) {
    outcome.reason = attempt.stop_reason;
    outcome.message = attempt.stop_message;
    return outcome;
  }
  const auto number = static_cast<size_t>(outcome.rank);
  const Rank& culprit = attempt.ranks[number];
  outcome.message = Describe(number, culprit);
  outcome.reason = culprit.reason;
  if (outcome.reason.empty()) {
    outcome.reason =
        std::string(culprit.exit_code == kLost ? reason::kLeaseLost : reason::kTrainerExited);
  }
  return outcome;
}

absl::Duration Backoff(int fruitless) {
  return std::min(absl::Seconds(30),
                  absl::Milliseconds(500) * std::pow(2.0, std::clamp(fruitless - 1, 0, 10)));
}

const char* ErrorClass(int exit_code) {
  switch (exit_code) {
    case kLost:
      return "lost";
    case kExitOutOfMemory:
      return "out_of_memory";
    case kExitCollective:
      return "collective";
    case kExitStorage:
      return "storage";
    case kExitRollBack:
      return "non_finite";
    case kExitPaused:
      return "shutdown";
    default:
      return exit_code > 128 ? "signal" : "internal";
  }
}

}  // namespace seer::coordinator
