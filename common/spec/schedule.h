// The schedules that a spec asks for, for all that follow them or show them.
#pragma once

#include "engine/session/config.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

engine::ScheduleConfig ToSchedules(const v1::OptimSpec& optim);

}  // namespace seer
