// Follows a job to its end. Survives a restart of the coordinator; Ctrl-C detaches and never stops
// the job.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/interrupt.h"
#include "seer/v1/jobs.grpc.pb.h"

namespace seer::client {

inline constexpr absl::Duration kFollowRetry = absl::Milliseconds(500);
// A stream ended because its server went away, or another one leads: it may be opened again.
bool WentAway(const absl::Status& status);

bool Ended(v1::JobState state);

// The exit code of wait, --wait and --follow. `show`: with progress. `job`: the newest state seen.
int FollowJob(v1::Jobs::StubInterface& jobs, const std::string& name, bool show,
              absl::Duration timeout, Interrupt& interrupt, v1::Job& job);

}  // namespace seer::client
