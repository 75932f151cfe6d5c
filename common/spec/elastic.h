// What an elastic gang (distributed.min_ranks) may be, for those that place it, train with it or
// show it. Takes specs with their defaults filled in.
#pragma once

#include <cstdint>
#include <vector>

#include "seer/v1/job_spec.pb.h"

namespace seer {

// The numbers of ranks that an attempt may have, the largest first: from distributed.ranks down to
// min_ranks, those that divide data.global_batch and that the groups of sync_bn_group_size and
// shard_group_size divide. Of a job that is not elastic: distributed.ranks alone.
std::vector<int> WorldSizes(const v1::JobSpec& spec);

// Parts that a rank's batch goes through in with `world_size` ranks, which divides
// data.global_batch: the fewest that divide it and are no larger than with distributed.ranks.
int64_t AccumulationSteps(const v1::JobSpec& spec, int world_size);

}  // namespace seer
