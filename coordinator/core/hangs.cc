// Core's part about gangs that make no step and ranks that are slow.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "coordinator/core/core.h"
#include "coordinator/core/hang_finding.h"

namespace seer::coordinator {
namespace {

constexpr absl::Duration kAnswerTime = absl::Seconds(3);  // for agents, once they are asked
constexpr absl::Duration kLookAgain = absl::Seconds(10);
constexpr int kSlowLooks = 3;  // in a row

// All ranks that run have been looked at since their agents were asked.
bool AllAnswered(const Attempt& attempt) {
  return std::all_of(attempt.ranks.begin(), attempt.ranks.end(), [&](const Rank& rank) {
    return rank.state == RankState::kExited ||
           (rank.activity && rank.activity->seen >= attempt.hang.asked_at);
  });
}

// Nothing is known of its pace before.
bool HasMadeAStep(const Attempt& attempt) {
  return attempt.newest_step > attempt.restore_step ||
         std::any_of(attempt.ranks.begin(), attempt.ranks.end(), [](const Rank& rank) {
           return rank.activity && rank.activity->steps_done > 0;
         });
}

}  // namespace

void Core::On(const command::RankActivities& c, Moment now, Decision& out) {
  std::set<int64_t> attempts;
  for (const command::RankActivities::One& one : c.ranks) {
    Rank* const rank = LiveRank(one.rank, c.worker);
    if (rank == nullptr) continue;
    const bool stepped = !rank->activity || one.activity.steps_done > rank->activity->steps_done;
    rank->activity = one.activity;
    rank->activity->seen = now.steady;
    rank->activity->time = now.wall;
    if (stepped) NoteSlow(*Live(one.rank.attempt_id), one.rank.rank, now, out);
    attempts.insert(one.rank.attempt_id);
  }
  for (const int64_t attempt : attempts) {
    Job& job = *Live(attempt);
    if (job.attempt->hang.asked && AllAnswered(*job.attempt)) DiagnoseHang(job, now, out);
  }
}

void Core::NoteSlow(const Job& job, int number, Moment now, Decision& out) {
  const Attempt& attempt = *job.attempt;
  Rank& rank =
      *LiveRank({attempt.id, "", number}, attempt.ranks[static_cast<size_t>(number)].worker);
  const StepMedian median = MedianOf(attempt);
  const char* const part = SlowPart(*rank.activity, median);
  if (part == nullptr || job.numbers.evaluation) {
    rank.slow_looks = std::min(rank.slow_looks, 0);
    return;
  }
  if (rank.slow_looks < 0 || ++rank.slow_looks < kSlowLooks) return;
  rank.slow_looks = -1;  // said once
  AddEvent(job, attempt.number, "straggler_found", "", DescribeSlow(attempt, number, part, median),
           now, out);
}

absl::Duration Core::HangLimitOf(const Job& job) const {
  return HangLimit(job.progress.step_seconds, options_.hang_after, job.numbers.no_progress_timeout);
}

void Core::WatchHangs(Moment now, Decision& out) {
  for (Job* job : LiveJobs()) {
    Attempt& attempt = *job->attempt;
    if (attempt.stopping || job->numbers.evaluation || !HasMadeAStep(attempt)) continue;
    if (now.steady - attempt.progressed_at <= HangLimitOf(*job)) {
      attempt.hang = {};
    } else if (attempt.hang.asked) {
      if (now.steady - attempt.hang.asked_at >= kAnswerTime) DiagnoseHang(*job, now, out);
    } else if (now.steady - attempt.hang.asked_at >= kLookAgain) {
      attempt.hang.asked = true;
      attempt.hang.asked_at = now.steady;
      std::set<std::string> workers;
      for (const Rank& rank : attempt.ranks) {
        if (rank.state != RankState::kExited && workers.insert(rank.worker).second)
          out.effects.inspect.push_back({rank.worker, attempt.id});
      }
    }
  }
}

void Core::DiagnoseHang(Job& job, Moment now, Decision& out) {
  Attempt& attempt = *job.attempt;
  attempt.hang.asked = false;
  const HangFinding finding =
      FindHang(attempt, now.steady, attempt.hang.asked_at, HangLimitOf(job));
  if (finding.kind == HangKind::kNothing || attempt.stopping) return;
  const std::string said = absl::StrCat(static_cast<int>(finding.kind), "/", finding.rank);
  if (attempt.hang.said != said) {
    attempt.hang.said = said;
    AddEvent(job, attempt.number, "hang_found", std::string(reason::kHung), finding.message, now,
             out);
    out.effects.watched.push_back(job.id);
  }
  if (finding.abort) AbortHung(job, reason::kHung, finding.message, finding, now, out);
}

void Core::AbortHung(Job& job, absl::string_view reason, const std::string& message,
                     const HangFinding& finding, Moment now, Decision& out) {
  Attempt& attempt = *job.attempt;
  attempt.stop_reason = std::string(reason);
  attempt.stop_message = message;
  attempt.stop_failure =
      finding.failure == FailureClass::kNone ? FailureClass::kUnknown : finding.failure;
  attempt.stop_sign = finding.sign;
  attempt.stop_rank = finding.rank;
  TellRanks(job, /*kill=*/true, now, out);
}

// The last resort, where nothing was found that is to be ended.
void Core::KillStalled(Moment now, Decision& out) {
  for (Job* job : LiveJobs()) {
    Attempt& attempt = *job->attempt;
    const absl::Duration limit = job->numbers.no_progress_timeout;
    if (attempt.stopping || job->numbers.evaluation) continue;
    if (now.steady - attempt.progressed_at <= limit) continue;
    HangFinding finding = FindHang(attempt, now.steady, -absl::InfiniteDuration(), limit);
    const std::string no_step = absl::StrCat("no step for ", absl::FormatDuration(limit));
    finding.sign = no_step;
    const std::string ranks = DescribeRanks(attempt, now.steady);
    const std::string message = ranks.empty() ? no_step : absl::StrCat(no_step, "; ", ranks);
    AddEvent(*job, attempt.number, "no_progress", std::string(reason::kNoProgress), message, now,
             out);
    AbortHung(*job, reason::kNoProgress, message, finding, now, out);
  }
}

}  // namespace seer::coordinator
