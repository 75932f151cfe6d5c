// Which image stands in for one that cannot be decoded.
// A pure function, so every replica substitutes alike.
#pragma once

#include <cstdint>

namespace seer::dataservice {

// Row in [0, images) to try instead of the image of `sample_index`. `attempt` counts from 1; each
// attempt is a new, independent draw (it may repeat an earlier row: the caller bounds the
// attempts). images >= 1, which the caller has checked.
int64_t SubstituteSample(uint64_t seed, int64_t sample_index, uint32_t attempt, int64_t images);

}  // namespace seer::dataservice
