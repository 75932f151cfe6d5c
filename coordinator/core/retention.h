// Which checkpoints a job keeps. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace seer::coordinator {

// Steps to delete out of `committed` (ascending):
// all but the newest `keep_last` (at least 1) and the pinned ones.
std::vector<int64_t> StepsToDelete(const std::vector<int64_t>& committed, int keep_last,
                                   const std::function<bool(int64_t)>& pinned);

}  // namespace seer::coordinator
