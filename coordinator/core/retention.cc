#include "coordinator/core/retention.h"

#include <algorithm>

namespace seer::coordinator {

std::vector<int64_t> StepsToDelete(const std::vector<int64_t>& committed, int keep_last,
                                   const std::function<bool(int64_t)>& pinned) {
  std::vector<int64_t> doomed;
  const auto excess = static_cast<int64_t>(committed.size()) - std::max(keep_last, 1);
  for (int64_t i = 0; i < excess; ++i) {
    if (!pinned(committed[static_cast<size_t>(i)]))
      doomed.push_back(committed[static_cast<size_t>(i)]);
  }
  return doomed;
}

}  // namespace seer::coordinator
