// Submitting, as `seer job submit` and `seer job retry` do it.
#pragma once

#include <vector>

#include "client/commands/job.h"
#include "seer/v1/job_spec.pb.h"

namespace seer::client {

// In their order; prints the ids, and follows the last. An exit code.
int SubmitSpecs(Session& session, const std::vector<v1::JobSpec>& specs,
                const FollowOptions& follow);

}  // namespace seer::client
