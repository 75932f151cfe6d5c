#include "coordinator/core/retry.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"

namespace seer::coordinator {

namespace {

using enum FailureClass;

constexpr absl::Duration kSoon = absl::Milliseconds(500), kSoonest = absl::ZeroDuration();
constexpr absl::Duration kHalfAMinute = absl::Seconds(30);

// By the number of the class.
const RetryPolicy kPolicies[] = {
    {kUserError, 1, kSoonest, kSoonest, false, false,
     "correct the spec as the message says, and submit the job again"},
    {kData, 1, kSoonest, kSoonest, false, false,
     "mend the pool (`seer pool describe`, `seer pool verify`), and submit the job again"},
    {kOutOfMemory, 3, kSoon, kHalfAMinute, true, false,
     "lower data.globalBatch, or let memory.budgetBytes or memory.offloadOptimizer save memory; "
     "`seer job plan` shows what a rank needs"},
    {kDevice, std::nullopt, kSoon, kHalfAMinute, true, true,
     "look at the worker's devices (`nvidia-smi -q`, the kernel's log); `seer worker cordon` keeps "
     "jobs away"},
    {kNetwork, std::nullopt, kSoon, kHalfAMinute, false, false,
     "nothing, if it does not recur; else look at the network between the workers, and at the data "
     "service (`seer cluster status`)"},
    {kStorage, std::nullopt, kSoon, absl::Minutes(2), false, false,
     "free space, or mend the access to the storage, as the message says; the job goes on by "
     "itself"},
    {kMachine, std::nullopt, kSoon, kHalfAMinute, true, true,
     "look at the worker (`seer worker describe`), who kills processes there and whether it is "
     "reachable; `seer worker cordon` keeps jobs away"},
    {kUnknown, std::nullopt, kSoon, kHalfAMinute, false, false,
     "`seer job logs` shows the last lines of the rank"},
};

// It was told to end, and did for no other reason that is known.
bool KilledByUs(const Rank& rank) { return rank.killed && rank.diagnosis.failure == kMachine; }

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

// Of two ranks, the one with the larger is rather the cause.
std::tuple<bool, Blame, int> GuiltOf(const Rank& rank) {
  return {!KilledByUs(rank), rank.diagnosis.blame, -rank.exited};
}

}  // namespace

bool Failed(const Rank& rank) {
  return rank.state == RankState::kExited && rank.diagnosis.blame != Blame::kNone;
}

Outcome Judge(const Attempt& attempt) {
  Outcome outcome;
  bool all_done = true;
  for (size_t i = 0; i < attempt.ranks.size(); ++i) {
    const Rank& rank = attempt.ranks[i];
    all_done = all_done && rank.exit_code == kExitDone;
    if (!Failed(rank)) continue;
    if (outcome.rank < 0 ||
        GuiltOf(rank) > GuiltOf(attempt.ranks[static_cast<size_t>(outcome.rank)]))
      outcome.rank = static_cast<int>(i);
  }
  if (outcome.rank < 0) {
    outcome.verdict = all_done ? Verdict::kSucceeded : Verdict::kPaused;
    return outcome;
  }
  const auto number = static_cast<size_t>(outcome.rank);
  const Rank& culprit = attempt.ranks[number];
  const bool victim = KilledByUs(culprit) || culprit.diagnosis.blame == Blame::kFollowed;
  if (victim && !attempt.stop_reason.empty()) {
    outcome.reason = attempt.stop_reason;
    outcome.message = attempt.stop_message;
    outcome.failure = attempt.stop_failure;
    outcome.sign = attempt.stop_sign;
    if (attempt.stop_rank >= 0) outcome.rank = attempt.stop_rank;
    return outcome;
  }
  outcome.verdict = culprit.diagnosis.blame == Blame::kFinal ? Verdict::kFail : Verdict::kRetry;
  outcome.message = Describe(number, culprit);
  outcome.reason = culprit.reason;
  if (outcome.reason.empty()) {
    outcome.reason =
        std::string(culprit.exit_code == kLost                  ? reason::kLeaseLost
                    : culprit.diagnosis.failure == kOutOfMemory ? reason::kOutOfMemory
                                                                : reason::kTrainerExited);
  }
  outcome.failure = KilledByUs(culprit) ? kNone : culprit.diagnosis.failure;
  outcome.sign = culprit.diagnosis.sign;
  return outcome;
}

const RetryPolicy& PolicyOf(FailureClass failure) {
  if (failure == kNone) failure = kUnknown;
  return kPolicies[static_cast<int>(failure) - 1];
}

absl::Duration Backoff(const RetryPolicy& policy, int fruitless) {
  return std::min(policy.max_backoff,
                  policy.first_backoff * std::pow(2.0, std::clamp(fruitless - 1, 0, 10)));
}

}  // namespace seer::coordinator
