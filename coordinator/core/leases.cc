#include "coordinator/core/leases.h"

namespace seer::coordinator {

std::vector<std::string> LeaseTable::TakeExpired(absl::Duration now) {
  std::vector<std::string> expired;
  for (auto it = heard_.begin(); it != heard_.end();) {
    if (now - it->second <= lease_) {
      ++it;
      continue;
    }
    expired.push_back(it->first);
    it = heard_.erase(it);
  }
  return expired;
}

}  // namespace seer::coordinator
