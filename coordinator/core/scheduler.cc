#include "coordinator/core/scheduler.h"

namespace seer::coordinator {

std::vector<std::string> PlaceGang(int ranks, const std::map<std::string, int>& free_devices) {
  // A machine that holds the whole gang is better than several.
  for (const auto& [worker, devices] : free_devices) {
    if (devices >= ranks) return std::vector<std::string>(static_cast<size_t>(ranks), worker);
  }
  std::vector<std::string> placement;
  for (const auto& [worker, devices] : free_devices) {
    for (int i = 0; i < devices && static_cast<int>(placement.size()) < ranks; ++i)
      placement.push_back(worker);
  }
  if (static_cast<int>(placement.size()) < ranks) placement.clear();
  return placement;
}

int StorePort(int64_t attempt_id) { return 20000 + static_cast<int>(attempt_id % 10000); }

}  // namespace seer::coordinator
