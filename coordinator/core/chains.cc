// Core's part about jobs that wait for others: chain.after of a spec.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/circle.h"
#include "common/base/error.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {

Wait Core::WaitForOthers(const Job& job) const {
  for (const After& after : job.numbers.after)
    if (!Ended(jobs_.at(after.job).state)) return {WaitReason::kAfter, after.job};
  return {};
}

std::string Core::ExplainChain(const Job& job) const {
  const Job* first = nullptr;
  int more = -1;
  for (const After& after : job.numbers.after) {
    const Job& other = jobs_.at(after.job);
    if (Ended(other.state)) continue;
    if (first == nullptr) first = &other;
    ++more;
  }
  if (first == nullptr) return "";
  return absl::StrCat("waits for job ", first->id, " '", first->name, "', which is ",
                      StateName(first->state),
                      more > 0 ? absl::StrCat(", and for ", more, " more") : "");
}

void Core::LinkChain(const Job& job) {
  for (const After& after : job.numbers.after) followers_[after.job].insert(job.id);
}

void Core::UnlinkChain(const Job& job) {
  for (const After& after : job.numbers.after) {
    const auto it = followers_.find(after.job);
    if (it == followers_.end()) continue;
    it->second.erase(job.id);
    if (it->second.empty()) followers_.erase(it);
  }
}

absl::Status Core::CheckChain(const Job& job, const JobNumbers& wanted) const {
  for (const After& after : wanted.after)
    if (const auto found = Find(absl::StrCat("jobs/", after.job)); !found.ok())
      return found.status();
  if (job.id.empty()) return absl::OkStatus();  // it is new: nobody waits for it
  if (job.attempts > 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kWrongJobState,
                 absl::StrCat("job ", job.id, " has begun: what it waits for may not change"))
        .Field("chain.after")
        .Hint("pause it, or submit another job")
        .With("job", job.id);
  }
  const std::vector<std::string> circle = FindCircle(job.id, [&](const std::string& id) {
    std::vector<std::string> next;
    const auto other = jobs_.find(id);
    if (other == jobs_.end()) return next;  // it ended long ago
    const JobNumbers& numbers = id == job.id ? wanted : other->second.numbers;
    for (const After& after : numbers.after) next.push_back(after.job);
    return next;
  });
  if (circle.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kCircularChain,
               absl::StrCat("jobs would wait for each other: ", absl::StrJoin(circle, " -> ")))
      .Field("chain.after")
      .Hint("take one of these links out")
      .With("circle", absl::StrJoin(circle, ","));
}

void Core::SettleChains(Moment now, Decision& out) {
  while (!unsettled_.empty()) {
    const auto id = unsettled_.extract(unsettled_.begin());
    SettleChain(jobs_.at(id.value()), now, out);  // if it fails, those that wait for it come next
  }
}

void Core::SettleChain(Job& job, Moment now, Decision& out) {
  const JobNumbers& numbers = job.numbers;
  if (job.state != JobState::kQueued || numbers.after.empty()) return;
  const auto fail = [&](const std::string& why) {
    schedule_ = true;
    ChangeState(job, JobState::kFailed, std::string(reason::kDependencyFailed), why, now, out);
  };
  bool all = true;
  for (const After& after : numbers.after) {
    const Job& other = jobs_.at(after.job);
    all = all && Ended(other.state);
    if (!Ended(other.state) || other.state == JobState::kSucceeded || after.any_end) continue;
    return fail(absl::StrCat("it waited for job ", other.id, " '", other.name, "', which ended as ",
                             StateName(other.state)));
  }
  if (!all) return;
  if (!numbers.eval_job.empty() && numbers.eval_step == 0 &&
      NewestCheckpoint(numbers.eval_job) == 0)
    return fail(absl::StrCat("job ", numbers.eval_job, " has ended without a checkpoint"));
  schedule_ = true;
}

}  // namespace seer::coordinator
