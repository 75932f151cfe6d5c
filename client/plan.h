// What a job will be, computed on this machine alone: parameters, work, memory, traffic, steps and,
// with a calibration, time. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/calibration.h"
#include "engine/arch/cost_model.h"
#include "engine/arch/memory_plan.h"
#include "engine/arch/network_cost.h"
#include "engine/arch/traffic.h"
#include "seer/v1/job_spec.pb.h"

namespace seer::client {

// Of a step, if no rank waits for data.
struct TimePlan {
  engine::StepTime step;        // of one rank, its own work
  engine::TrafficTime traffic;  // what it waits for others
  engine::ModelError error;     // of the calibration, whole steps of one rank
  double job_seconds = 0;       // of all steps; checkpoints, starts and restarts aside
  double step_seconds() const { return step.seconds() + traffic.seconds(); }
};

// When it would start, as the coordinator says.
struct StartPlan {
  std::string why_not;   // not now; empty: now
  std::string when;      // a time; empty: not known
  std::string machines;  // "w1 x 8, w2 x 4", of a start now
};

struct JobPlan {
  std::vector<engine::TrunkStage> stages;
  engine::NetworkCost cost;
  engine::StepShape step;
  engine::MemoryPlan memory;  // of one rank, by the count of engine/arch/memory_plan
  engine::StepTraffic traffic;
  int64_t checkpoint_bytes = 0;
  std::vector<double> learning_rates;  // at steps evenly apart, the first and the last among them
  std::optional<TimePlan> time;
  std::string no_time;             // why there is none
  std::optional<StartPlan> start;  // none: no coordinator was asked
};

// The spec has its defaults and is valid. `calibration` may be null. INVALID_ARGUMENT with
// OUT_OF_RANGE: no recompute fits the budget.
absl::StatusOr<JobPlan> PlanJob(const v1::JobSpec& spec, const Calibration* calibration);

// Lines of "key: value". `calibration`: the one that `plan` was made with.
std::vector<std::pair<std::string, std::string>> PlanLines(const v1::JobSpec& spec,
                                                           const JobPlan& plan,
                                                           const Calibration* calibration);
// The same as one JSON object, every number a number.
std::string PlanJson(const v1::JobSpec& spec, const JobPlan& plan, const Calibration* calibration);

}  // namespace seer::client
