// Rules about the jobs that a job waits for.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "seer/v1/job_spec.pb.h"

namespace seer {

// INVALID_ARGUMENT as ValidateJobSpec.
absl::Status CheckChain(const v1::JobSpec& spec);

// Whether an evaluation's checkpoint is "the newest of that job": "jobs/{job}".
bool IsNewestOf(const std::string& checkpoint);

}  // namespace seer
