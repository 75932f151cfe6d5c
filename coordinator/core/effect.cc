#include "coordinator/core/effect.h"

#include <algorithm>
#include <iterator>

namespace seer::coordinator {

bool Changes::empty() const {
  return jobs.empty() && removed_jobs.empty() && checkpoints.empty() &&
         removed_checkpoints.empty() && workers.empty() && removed_workers.empty() &&
         queues.empty() && removed_queues.empty() && events.empty() && schedules.empty() &&
         removed_schedules.empty() && sweeps.empty() && removed_sweeps.empty() &&
         first_event == 0 && requests.empty() && removed_requests.empty();
}

void Changes::Merge(Changes later) {
  for (const auto& id : later.removed_jobs) jobs.erase(id);
  jobs.merge(later.jobs);
  removed_jobs.merge(later.removed_jobs);
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
  for (const auto& name : later.removed_sweeps) sweeps.erase(name);
  for (const auto& name : later.sweeps) removed_sweeps.erase(name);
  sweeps.merge(later.sweeps);
  removed_sweeps.merge(later.removed_sweeps);
  std::move(later.events.begin(), later.events.end(), std::back_inserter(events));
  first_event = std::max(first_event, later.first_event);
  for (const auto& id : later.removed_requests)
    std::erase_if(requests, [&id](const Request& request) { return request.id == id; });
  for (const Request& request : later.requests) std::erase(removed_requests, request.id);
  std::move(later.requests.begin(), later.requests.end(), std::back_inserter(requests));
  std::move(later.removed_requests.begin(), later.removed_requests.end(),
            std::back_inserter(removed_requests));
}

}  // namespace seer::coordinator
