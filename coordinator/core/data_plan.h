// Which generation of the pool a job's steps read.
// Recorded with the job, so that it can be replayed. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/core/model.h"

namespace seer::coordinator {

// Training: `generation` from step 0 on.
std::vector<PlanEntry> TrainingPlan(int64_t generation);
// Evaluation: entry 0 is the train pool's generation, entry 1 the test pool's.
std::vector<PlanEntry> EvaluationPlan(int64_t train_generation, int64_t test_generation);
// Whether `plan` is `recorded` and then at least one entry more, which begins later and has a newer
// generation than the one before it.
bool Extends(const std::vector<PlanEntry>& plan, const std::vector<PlanEntry>& recorded);
// The generation that a training plan gives for `step`; 0: the plan is empty.
int64_t GenerationAt(const std::vector<PlanEntry>& plan, int64_t step);

}  // namespace seer::coordinator
