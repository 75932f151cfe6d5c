// Rules about whom a job tells of what happens to it.
#pragma once

#include "absl/status/status.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// INVALID_ARGUMENT as ValidateJobSpec.
absl::Status CheckWebhooks(const v1::AlertsSpec& alerts);

}  // namespace seer
