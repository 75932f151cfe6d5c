// Which checkpoints a job keeps, and why. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/model.h"

namespace seer::coordinator {

struct RetentionCandidate {
  int64_t step = 0;
  bool corrupt = false;
  std::optional<Pin> pin;
  std::string need;                  // "evaluation job_x reads it"; empty: nothing needs it
  std::optional<double> top1_ratio;  // best of its evaluations; nothing: none has ended
};

struct RetentionDecision {
  bool keep = true;
  bool wanted = false;               // pinned or needed: kept by any policy
  std::string reason;                // "pinned by alice; among the last 3", "not among the last 3"
  std::optional<double> top1_ratio;  // the candidate's
};

// One decision for each candidate, which come by step. Kept is what is pinned or needed, and of the
// sound ones: the newest policy.last (at least one), each whose step is a multiple of policy.every,
// and the policy.best with the highest top1_ratio, of equal ones the later. A corrupt one stays
// until there is a sound one beyond it.
std::vector<RetentionDecision> DecideRetention(const std::vector<RetentionCandidate>& candidates,
                                               const RetentionPolicy& policy);

}  // namespace seer::coordinator
