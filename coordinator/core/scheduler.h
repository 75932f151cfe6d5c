// Gang placement, first in first out:
// all ranks of a job or none, and no job overtakes the head of the queue. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace seer::coordinator {

// A worker name for each rank, or empty: they do not fit now. Workers are taken in the order of
// their names and filled one before the next, so that few machines share a gang. Consecutive ranks
// [i * group_ranks, (i + 1) * group_ranks) exchange more than others (batch statistics, shards of
// parameters), so first each machine takes as many whole groups as fit; only what is left over may
// lie across machines. group_ranks >= 1.
std::vector<std::string> PlaceGang(int ranks, int group_ranks,
                                   const std::map<std::string, int>& free_devices);

// Where rank 0 of the attempt serves the gang's store: 20000 to 29999 in turn, so that a port that
// is taken, or still held by a gang that is dying, is not tried again.
int StorePort(int64_t attempt_id);

}  // namespace seer::coordinator
