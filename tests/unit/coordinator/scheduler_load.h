// A cluster of CPU machines and what runs and waits there, for tests of the scheduler.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/scheduler.h"

namespace seer::coordinator {

struct Load : SchedulerInput {
  explicit Load(std::vector<int> machines) {
    queues.emplace_back().name = "default";
    classes = {{"cpu", {}}};
    for (size_t i = 0; i < machines.size(); ++i) {
      workers.push_back({absl::StrCat("m", i), 0, machines[i]});
      capacity.push_back(machines[i]);
    }
  }
  int AddQueue(std::optional<int64_t> quota, std::optional<int64_t> borrow, double weight = 1) {
    Queue& queue = queues.emplace_back();
    queue.name = absl::StrCat("q", queues.size() - 1);
    queue.quota = quota;
    queue.borrow = borrow;
    queue.weight = weight;
    return static_cast<int>(queues.size()) - 1;
  }
  WaitingGang& Wait(int ranks, int queue = 0, int priority = 0) {
    WaitingGang& gang = waiting.emplace_back();
    gang.job = absl::StrCat("w", waiting.size() - 1);
    gang.queue = queue;
    gang.shape.ranks = ranks;
    gang.priority = priority;
    gang.number = static_cast<int64_t>(waiting.size());
    return gang;
  }
  RunningGang& Run(Placement placement, int queue = 0,
                   absl::Duration remaining = absl::InfiniteDuration()) {
    RunningGang& gang = running.emplace_back();
    gang.job = absl::StrCat("r", running.size() - 1);
    gang.queue = queue;
    gang.attempt = static_cast<int64_t>(running.size());
    gang.remaining = remaining;
    for (const Share& share : placement) {
      gang.devices += share.devices;
      workers[static_cast<size_t>(share.worker)].devices -= share.devices;
    }
    gang.placement = std::move(placement);
    return gang;
  }
};

inline std::vector<size_t> Started(const Schedule& schedule) {
  std::vector<size_t> started;
  for (const GangStart& start : schedule.starts) started.push_back(start.gang);
  return started;
}
inline std::vector<size_t> Victims(const Schedule& schedule) {
  std::vector<size_t> victims;
  for (const Preemption& preemption : schedule.preemptions) victims.push_back(preemption.victim);
  return victims;
}
inline WaitReason Reason(const Schedule& schedule, size_t gang) {
  return schedule.waits[gang].reason;
}

}  // namespace seer::coordinator
