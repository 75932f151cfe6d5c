#include "coordinator/core/scheduler.h"

#include <algorithm>

namespace seer::coordinator {

std::vector<std::string> PlaceGang(int ranks, int group_ranks,
                                   const std::map<std::string, int>& free_devices) {
  // A machine that holds the whole gang is better than several.
  for (const auto& [worker, devices] : free_devices) {
    if (devices >= ranks) return std::vector<std::string>(static_cast<size_t>(ranks), worker);
  }
  std::vector<std::string> placement;
  std::map<std::string, int> left = free_devices;
  const auto take = [&](const std::string& worker, int devices) {
    placement.insert(placement.end(), static_cast<size_t>(devices), worker);
    left[worker] -= devices;
  };
  const auto missing = [&] { return ranks - static_cast<int>(placement.size()); };
  for (const auto& [worker, devices] : free_devices)
    take(worker, std::min(devices, missing()) / group_ranks * group_ranks);
  for (const auto& [worker, devices] : free_devices)
    take(worker, std::min(left[worker], missing()));
  if (missing() > 0) placement.clear();
  return placement;
}

int StorePort(int64_t attempt_id) { return 20000 + static_cast<int>(attempt_id % 10000); }

}  // namespace seer::coordinator
