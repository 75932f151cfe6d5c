#include "coordinator/core/retention.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace seer::coordinator {
namespace {

// Steps of the sound candidates with the best evaluations.
std::set<int64_t> BestSteps(const std::vector<const RetentionCandidate*>& sound, int best) {
  std::vector<const RetentionCandidate*> evaluated;
  for (const RetentionCandidate* candidate : sound) {
    if (candidate->top1_ratio) evaluated.push_back(candidate);
  }
  std::sort(evaluated.begin(), evaluated.end(),
            [](const RetentionCandidate* a, const RetentionCandidate* b) {
              return std::pair(*a->top1_ratio, a->step) > std::pair(*b->top1_ratio, b->step);
            });
  std::set<int64_t> steps;
  for (size_t i = 0; i < evaluated.size() && i < static_cast<size_t>(std::max(best, 0)); ++i)
    steps.insert(evaluated[i]->step);
  return steps;
}

std::string WhyNot(const RetentionCandidate& candidate, const RetentionPolicy& policy) {
  std::vector<std::string> why = {policy.last > 1 ? absl::StrCat("not among the last ", policy.last)
                                                  : std::string("not the newest")};
  if (policy.every > 0) why.push_back(absl::StrCat("no multiple of ", policy.every));
  if (policy.best > 0) {
    why.push_back(candidate.top1_ratio ? absl::StrCat("not among the best ", policy.best)
                                       : std::string("no evaluation of it has ended"));
  }
  return absl::StrJoin(why, "; ");
}

}  // namespace

std::vector<RetentionDecision> DecideRetention(const std::vector<RetentionCandidate>& candidates,
                                               const RetentionPolicy& policy) {
  std::vector<const RetentionCandidate*> sound;
  for (const RetentionCandidate& candidate : candidates) {
    if (!candidate.corrupt) sound.push_back(&candidate);
  }
  const auto last = static_cast<size_t>(std::max(policy.last, 1));
  const int64_t newest = sound.empty() ? 0 : sound.back()->step;
  const int64_t among_last =
      sound.empty() ? 0 : sound[sound.size() - std::min(last, sound.size())]->step;
  const std::set<int64_t> best = BestSteps(sound, policy.best);

  std::vector<RetentionDecision> decisions;
  for (const RetentionCandidate& candidate : candidates) {
    std::vector<std::string> why;
    if (candidate.pin) {
      why.push_back(absl::StrCat("pinned by ", candidate.pin->user));
      if (!candidate.pin->reason.empty())
        absl::StrAppend(&why.back(), " (", candidate.pin->reason, ")");
    }
    if (!candidate.need.empty()) why.push_back(candidate.need);
    const bool wanted = !why.empty();
    if (candidate.corrupt) {
      if (sound.empty() || candidate.step > newest)
        why.push_back("damaged, until training has passed it");
    } else {
      if (candidate.step == newest) {
        why.push_back("the newest");
      } else if (candidate.step >= among_last) {
        why.push_back(absl::StrCat("among the last ", last));
      }
      if (policy.every > 0 && candidate.step % policy.every == 0)
        why.push_back(absl::StrCat("a multiple of ", policy.every));
      if (best.contains(candidate.step))
        why.push_back(absl::StrFormat("among the best %d, top-1 %.2f%%", policy.best,
                                      *candidate.top1_ratio * 100));
    }
    RetentionDecision& decision = decisions.emplace_back();
    decision.wanted = wanted;
    decision.keep = !why.empty();
    decision.reason = decision.keep       ? absl::StrJoin(why, "; ")
                      : candidate.corrupt ? "damaged, and training has passed it"
                                          : WhyNot(candidate, policy);
    decision.top1_ratio = candidate.top1_ratio;
  }
  return decisions;
}

}  // namespace seer::coordinator
