#include "coordinator/core/data_plan.h"

#include <algorithm>

namespace seer::coordinator {

std::vector<PlanEntry> TrainingPlan(int64_t generation) { return {{0, generation}}; }

std::vector<PlanEntry> EvaluationPlan(int64_t train_generation, int64_t test_generation) {
  return {{0, train_generation}, {0, test_generation}};
}

bool Extends(const std::vector<PlanEntry>& plan, const std::vector<PlanEntry>& recorded) {
  if (recorded.empty() || plan.size() <= recorded.size() ||
      !std::equal(recorded.begin(), recorded.end(), plan.begin()))
    return false;
  for (size_t i = recorded.size(); i < plan.size(); ++i) {
    if (plan[i].first_step <= plan[i - 1].first_step ||
        plan[i].generation <= plan[i - 1].generation)
      return false;
  }
  return true;
}

int64_t GenerationAt(const std::vector<PlanEntry>& plan, int64_t step) {
  int64_t generation = 0;
  for (const PlanEntry& entry : plan) {
    if (entry.first_step <= step) generation = entry.generation;
  }
  return generation;
}

}  // namespace seer::coordinator
