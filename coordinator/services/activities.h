// What ranks do, between the wire and the core.
#pragma once

#include <string>

#include "coordinator/core/command.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/v1/jobs.pb.h"

namespace seer::coordinator {

command::RankActivities FromProto(const std::string& worker,
                                  const internal::v1::RankActivities& activities);
// Of the ranks of the job's live attempt, in `out`, which is this job.
void SetActivities(const Job& job, v1::Job& out);

}  // namespace seer::coordinator
