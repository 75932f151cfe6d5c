#include "coordinator/core/effect.h"

#include <iterator>

namespace seer::coordinator {

bool Changes::empty() const {
  return jobs.empty() && checkpoints.empty() && removed_checkpoints.empty() && workers.empty() &&
         removed_workers.empty() && queues.empty() && removed_queues.empty() && events.empty() &&
         schedules.empty() && removed_schedules.empty() && sweeps.empty() && requests.empty();
}

void Changes::Merge(Changes later) {
  jobs.merge(later.jobs);
  for (const auto& key : later.removed_checkpoints) checkpoints.erase(key);
  for (const auto& key : later.checkpoints) removed_checkpoints.erase(key);
  checkpoints.merge(later.checkpoints);
  removed_checkpoints.merge(later.removed_checkpoints);
  for (const auto& name : later.removed_workers) workers.erase(name);
  for (const auto& name : later.workers) removed_workers.erase(name);
  workers.merge(later.workers);
  removed_workers.merge(later.removed_workers);
  for (const auto& name : later.removed_queues) queues.erase(name);
  for (const auto& name : later.queues) removed_queues.erase(name);
  queues.merge(later.queues);
  removed_queues.merge(later.removed_queues);
  for (const auto& name : later.removed_schedules) schedules.erase(name);
  for (const auto& name : later.schedules) removed_schedules.erase(name);
  schedules.merge(later.schedules);
  removed_schedules.merge(later.removed_schedules);
  sweeps.merge(later.sweeps);
  std::move(later.events.begin(), later.events.end(), std::back_inserter(events));
  std::move(later.requests.begin(), later.requests.end(), std::back_inserter(requests));
}

}  // namespace seer::coordinator
