// The job's state machine: the only table of which change is allowed.
#pragma once

#include "coordinator/core/model.h"

namespace seer::coordinator {

bool CanChange(JobState from, JobState to);
bool Ended(JobState state);    // SUCCEEDED, FAILED, CANCELLED
bool Active(JobState state);   // holds devices: STARTING, RUNNING, PAUSING
bool Waiting(JobState state);  // to be placed: QUEUED, RESTARTING
const char* StateName(JobState state);

}  // namespace seer::coordinator
