// What a job will be, computed on this machine alone: parameters, work, memory, steps. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/v1/job_spec.pb.h"

namespace seer::client {

// Lines of "key: value"; the spec has its defaults and is valid. Memory is one rank's, by the count
// of engine/arch/memory_plan. INVALID_ARGUMENT with OUT_OF_RANGE: no recompute fits the budget.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> PlanJob(const v1::JobSpec& spec);

}  // namespace seer::client
