#include "coordinator/core/hang_finding.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace seer::coordinator {
namespace {

constexpr int64_t kWarmSteps = 10;        // a rank's means before are not compared
constexpr double kSlowShare = 0.1;        // of its own step that a slow rank must lose
constexpr double kSlowestSeconds = 0.01;  // less is noise
constexpr absl::Duration kNoLook = -absl::InfiniteDuration();

using GroupKey = std::pair<std::string, int>;  // name and first rank

bool Moves(const RankActivity& activity, absl::Duration now, absl::Duration limit) {
  return absl::Seconds(activity.seconds) + (now - activity.seen) < limit;
}

// In whole seconds.
absl::Duration For(const RankActivity& activity, absl::Duration now) {
  return absl::Trunc(absl::Seconds(activity.seconds) + (now - activity.seen), absl::Seconds(1));
}

std::string DoingText(const RankActivity& activity) {
  const auto with = [&](const std::string& text) {
    return activity.detail.empty() ? text : absl::StrCat(text, " (", activity.detail, ")");
  };
  if (activity.doing == "data") return "waiting for data";
  if (activity.doing == "compute") return "computing";
  if (activity.doing == "collective")
    return absl::StrCat("waiting in ", activity.detail.empty() ? "a collective" : activity.detail);
  if (activity.doing == "checkpoint") return with("at a checkpoint");
  if (activity.doing == "start") return with("starting");
  if (activity.doing == "stopped") return with("stopped by a signal or a debugger");
  return with("on the host, between the parts of a step");
}

std::string DoingFor(const RankActivity& activity, absl::Duration now) {
  return absl::StrCat(DoingText(activity), " for ", absl::FormatDuration(For(activity, now)));
}

// "rank 3", "ranks 0-2, 5".
std::string RanksText(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (size_t i = 0; i < ranks.size();) {
    size_t end = i;
    while (end + 1 < ranks.size() && ranks[end + 1] == ranks[end] + 1) ++end;
    runs.push_back(end == i ? absl::StrCat(ranks[i])
                            : absl::StrCat(ranks[i], end == i + 1 ? ", " : "-", ranks[end]));
    i = end + 1;
  }
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ", absl::StrJoin(runs, ", "));
}

const RankActivity& ActivityOf(const Attempt& attempt, int rank) {
  return *attempt.ranks[static_cast<size_t>(rank)].activity;
}

std::string NameOf(const Attempt& attempt, int rank) {
  return absl::StrCat("rank ", rank, " on ", attempt.ranks[static_cast<size_t>(rank)].worker);
}

// What the ranks that have not ended say, gone through once.
struct Ranks {
  std::vector<int> known, silent;
  std::map<GroupKey, int64_t> entered;  // the most of any rank
  bool in_flight = false;               // some rank has entered one that it has not seen the end of
};

Ranks Sort(const Attempt& attempt, absl::Duration since) {
  Ranks ranks;
  for (size_t i = 0; i < attempt.ranks.size(); ++i) {
    const Rank& rank = attempt.ranks[i];
    if (rank.state == RankState::kExited) continue;
    const int number = static_cast<int>(i);
    if (!rank.activity || rank.activity->seen < since) {
      ranks.silent.push_back(number);
      continue;
    }
    ranks.known.push_back(number);
    for (const GroupActivity& group : rank.activity->groups) {
      int64_t& most = ranks.entered[{group.name, group.first_rank}];
      most = std::max(most, group.entered);
      ranks.in_flight = ranks.in_flight || group.entered > group.completed;
    }
  }
  return ranks;
}

// The group whose newest collective the rank has not entered; null: there is none.
const GroupActivity* BehindIn(const RankActivity& activity, const Ranks& ranks) {
  const auto behind =
      std::find_if(activity.groups.begin(), activity.groups.end(), [&](const GroupActivity& group) {
        return group.entered < ranks.entered.at({group.name, group.first_rank});
      });
  return behind == activity.groups.end() ? nullptr : &*behind;
}

// Of those, the one that has done the same for longest.
int LongestOf(const Attempt& attempt, const std::vector<int>& ranks, absl::Duration now) {
  return *std::max_element(ranks.begin(), ranks.end(), [&](int a, int b) {
    return For(ActivityOf(attempt, a), now) < For(ActivityOf(attempt, b), now);
  });
}

// Whose fault it is that a rank does not go on, by what it does.
void SetFault(const RankActivity& activity, HangFinding& finding) {
  finding.abort = true;
  finding.sign = activity.doing;
  if (activity.doing == "data") {
    finding.kind = HangKind::kData;
    finding.failure = FailureClass::kNetwork;  // as DATA_STALLED
    finding.abort = false;
  } else if (activity.doing == "checkpoint") {
    finding.kind = HangKind::kCheckpoint;
    finding.failure = FailureClass::kStorage;
    finding.abort = false;
  } else {
    finding.failure = activity.doing == "compute" ? FailureClass::kDevice : FailureClass::kMachine;
  }
}

// "all-reduce 812 of gradients", which the rank has not entered: in the words of a rank that has.
std::string NextOf(const Attempt& attempt, const GroupActivity& group, const Ranks& ranks) {
  const int64_t number = group.entered + 1;
  const std::string end = absl::StrCat(" ", number, " of ", group.name);
  std::string operation = "collective";
  for (const int rank : ranks.known) {
    const RankActivity& activity = ActivityOf(attempt, rank);
    if (activity.doing == "collective" && absl::EndsWith(activity.detail, end))
      return activity.detail;
    for (const GroupActivity& other : activity.groups) {
      if (other.name == group.name && other.first_rank == group.first_rank &&
          other.entered == number)
        operation = other.operation;
    }
  }
  return operation + end;
}

HangFinding Missing(const Attempt& attempt, absl::Duration now, absl::Duration limit,
                    const std::vector<int>& behind, const Ranks& ranks) {
  HangFinding finding;
  const int culprit = LongestOf(attempt, behind, now);
  const RankActivity& activity = ActivityOf(attempt, culprit);
  if (Moves(activity, now, limit / 2)) return finding;
  finding.kind = HangKind::kMissing;
  finding.rank = culprit;
  SetFault(activity, finding);
  std::vector<int> waiting;
  for (const int rank : ranks.known) {
    if (ActivityOf(attempt, rank).doing == "collective") waiting.push_back(rank);
  }
  finding.message = absl::StrCat(NameOf(attempt, culprit), " never entered ",
                                 NextOf(attempt, *BehindIn(activity, ranks), ranks), ": ",
                                 DoingFor(activity, now));
  if (!waiting.empty())
    absl::StrAppend(&finding.message, "; ", RanksText(waiting),
                    waiting.size() == 1 ? " waits for it" : " wait for it");
  return finding;
}

// Nobody is behind.
HangFinding Together(const Attempt& attempt, absl::Duration now, absl::Duration limit,
                     const Ranks& ranks) {
  HangFinding finding;
  std::vector<int> others;  // that wait in no collective
  for (const int rank : ranks.known) {
    const RankActivity& activity = ActivityOf(attempt, rank);
    if (Moves(activity, now, limit / 2)) return finding;
    if (activity.doing != "collective") others.push_back(rank);
  }
  const bool all_compute = std::all_of(others.begin(), others.end(), [&](int rank) {
    return ActivityOf(attempt, rank).doing == "compute";
  });
  const bool none_waits = others.size() == ranks.known.size();
  // On a GPU the host goes on to the end of the step, where it waits for the device.
  if (others.empty() || (none_waits && all_compute && ranks.in_flight && others.size() > 1)) {
    finding.kind = HangKind::kNetwork;
    finding.abort = true;
    finding.failure = FailureClass::kNetwork;
    finding.sign = "collective";
    finding.message = absl::StrCat("all ranks entered the same collectives, and one does not end: ",
                                   DescribeRanks(attempt, now));
    return finding;
  }
  const int culprit = LongestOf(attempt, others, now);
  const RankActivity& activity = ActivityOf(attempt, culprit);
  finding.kind = HangKind::kStuck;
  finding.rank = culprit;
  SetFault(activity, finding);
  // One that nobody waits for may be slow for once.
  if (finding.abort && none_waits && Moves(activity, now, 2 * limit)) return {};
  finding.message = DescribeRanks(attempt, now);
  return finding;
}

std::string SplitText(const RankActivity& activity) {
  return absl::StrFormat("input %.3f s, host %.3f s, compute %.3f s, wait %.3f s",
                         activity.input_seconds, activity.host_seconds, activity.compute_seconds,
                         activity.wait_seconds);
}

// Its lower median; `values` are used up.
double LowerMedian(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

bool Counts(const Rank& rank) {
  return rank.state != RankState::kExited && rank.activity &&
         rank.activity->steps_done >= kWarmSteps;
}

double OwnSeconds(const RankActivity& activity) {
  return activity.input_seconds + activity.host_seconds + activity.compute_seconds;
}

}  // namespace

absl::Duration HangLimit(double step_seconds, absl::Duration floor,
                         absl::Duration no_progress_timeout) {
  return std::min(std::max(floor, absl::Seconds(kHangSteps * step_seconds)), no_progress_timeout);
}

HangFinding FindHang(const Attempt& attempt, absl::Duration now, absl::Duration since,
                     absl::Duration limit) {
  HangFinding finding;
  const Ranks ranks = Sort(attempt, since);
  std::vector<int> stopped, behind;
  for (const int rank : ranks.known) {
    const RankActivity& activity = ActivityOf(attempt, rank);
    if (activity.doing == "stopped" && !Moves(activity, now, limit / 2)) stopped.push_back(rank);
    if (activity.doing != "collective" && BehindIn(activity, ranks) != nullptr)
      behind.push_back(rank);
  }
  if (!stopped.empty()) {
    const int culprit = LongestOf(attempt, stopped, now);
    finding.kind = HangKind::kStopped;
    finding.abort = true;
    finding.rank = culprit;
    finding.failure = FailureClass::kMachine;
    finding.sign = "stopped";
    finding.message =
        absl::StrCat(NameOf(attempt, culprit), " is ", DoingFor(ActivityOf(attempt, culprit), now));
    return finding;
  }
  if (!behind.empty()) return Missing(attempt, now, limit, behind, ranks);
  if (ranks.known.empty() || !ranks.silent.empty()) return finding;
  return Together(attempt, now, limit, ranks);
}

std::string DescribeRanks(const Attempt& attempt, absl::Duration now) {
  // By what they do; of the ranks of a line, the one that has for longest says how long.
  std::vector<std::pair<std::string, std::vector<int>>> lines;
  for (const int rank : Sort(attempt, kNoLook).known) {
    const std::string doing = DoingText(ActivityOf(attempt, rank));
    auto line = std::find_if(lines.begin(), lines.end(),
                             [&](const auto& item) { return item.first == doing; });
    if (line == lines.end()) line = lines.insert(lines.end(), {doing, {}});
    line->second.push_back(rank);
  }
  return absl::StrJoin(lines, "; ", [&](std::string* out, const auto& line) {
    const RankActivity& longest = ActivityOf(attempt, LongestOf(attempt, line.second, now));
    absl::StrAppend(out, RanksText(line.second), ": ", DoingFor(longest, now));
  });
}

StepMedian MedianOf(const Attempt& attempt) {
  std::vector<double> input, host, compute;
  for (const Rank& rank : attempt.ranks) {
    if (!Counts(rank)) continue;
    input.push_back(rank.activity->input_seconds);
    host.push_back(rank.activity->host_seconds);
    compute.push_back(rank.activity->compute_seconds);
  }
  StepMedian median;
  median.ranks = static_cast<int>(input.size());
  if (median.ranks == 0) return median;
  median.input_seconds = LowerMedian(input);
  median.host_seconds = LowerMedian(host);
  median.compute_seconds = LowerMedian(compute);
  return median;
}

const char* SlowPart(const RankActivity& activity, const StepMedian& median) {
  if (median.ranks < 2 || activity.steps_done < kWarmSteps) return nullptr;
  const double least =
      std::max(kSlowShare * (OwnSeconds(activity) + activity.wait_seconds), kSlowestSeconds);
  const char* slowest = nullptr;
  double most = 0;
  for (const auto& [name, own, usual] :
       {std::tuple("compute", activity.compute_seconds, median.compute_seconds),
        std::tuple("input", activity.input_seconds, median.input_seconds),
        std::tuple("host", activity.host_seconds, median.host_seconds)}) {
    if (own <= kSlowFactor * usual || own - usual < least || own - usual <= most) continue;
    most = own - usual;
    slowest = name;
  }
  return slowest;
}

std::string DescribeSlow(const Attempt& attempt, int rank, const std::string& part,
                         const StepMedian& median) {
  const RankActivity& activity = ActivityOf(attempt, rank);
  const auto [own, usual] =
      part == "compute" ? std::pair(activity.compute_seconds, median.compute_seconds)
      : part == "input" ? std::pair(activity.input_seconds, median.input_seconds)
                        : std::pair(activity.host_seconds, median.host_seconds);
  return absl::StrCat(
      NameOf(attempt, rank), " is slow: ", part,
      absl::StrFormat(" %.3f s a step, the median of its gang is %.3f s (", own, usual),
      SplitText(activity), ")");
}

std::optional<double> RankSkewSeconds(const Attempt& attempt) {
  double least = 0, most = 0;
  int ranks = 0;
  for (const Rank& rank : attempt.ranks) {
    if (!Counts(rank)) continue;
    const double own = OwnSeconds(*rank.activity);
    least = ranks == 0 ? own : std::min(least, own);
    most = std::max(most, own);
    ++ranks;
  }
  if (ranks < 2) return std::nullopt;
  return most - least;
}

}  // namespace seer::coordinator
