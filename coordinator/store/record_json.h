// Records as the database keeps them:
// JSON text, so that a column need not be added for every field.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "coordinator/core/job_schedule.h"
#include "coordinator/core/model.h"
#include "coordinator/core/sweep.h"

namespace seer::coordinator {

std::string ToJson(const Job& job);  // all but spec
absl::StatusOr<Job> JobFromJson(const std::string& json);
std::string ToJson(const Checkpoint& checkpoint);
absl::StatusOr<Checkpoint> CheckpointFromJson(const std::string& json);
std::string ToJson(const Worker& worker);
absl::StatusOr<Worker> WorkerFromJson(const std::string& json);
std::string ToJson(const Queue& queue);
absl::StatusOr<Queue> QueueFromJson(const std::string& json);
std::string ToJson(const JobSchedule& schedule);  // all but spec
absl::StatusOr<JobSchedule> ScheduleFromJson(const std::string& json);
std::string ToJson(const Sweep& sweep);  // all but definition
absl::StatusOr<Sweep> SweepFromJson(const std::string& json);

}  // namespace seer::coordinator
