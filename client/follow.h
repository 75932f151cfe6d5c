// Follows a job to its end. Survives a restart of the coordinator; Ctrl-C detaches and never stops
// the job.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "client/interrupt.h"
#include "seer/v1/jobs.grpc.pb.h"

namespace seer::client {

// The exit code of wait, --wait and --follow. `show`: with progress. `job`: the newest state seen.
int FollowJob(v1::Jobs::StubInterface& jobs, const std::string& name, bool show,
              absl::Duration timeout, Interrupt& interrupt, v1::Job& job);

}  // namespace seer::client
