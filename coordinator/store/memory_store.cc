#include <map>
#include <utility>

#include "coordinator/store/store.h"

namespace seer::coordinator {
namespace {

class MemoryStore final : public Store {
 public:
  absl::StatusOr<StoredState> Load() override {
    StoredState state;
    for (const auto& [id, job] : jobs_) state.jobs.push_back(job);
    for (const auto& [key, checkpoint] : checkpoints_) state.checkpoints.push_back(checkpoint);
    for (const auto& [name, worker] : workers_) state.workers.push_back(worker);
    for (const auto& [name, queue] : queues_) state.queues.push_back(queue);
    for (const auto& [name, schedule] : schedules_) state.schedules.push_back(schedule);
    for (const auto& [name, sweep] : sweeps_) state.sweeps.push_back(sweep);
    state.requests = requests_;
    state.last_event = events_.empty() ? 0 : events_.rbegin()->first;
    state.last_attempt = last_attempt_;
    return state;
  }

  absl::Status Apply(const Changes& changes, const Core& core) override {
    for (const std::string& id : changes.jobs) jobs_.insert_or_assign(id, core.jobs().at(id));
    for (const auto& key : changes.checkpoints) {
      const auto it = core.checkpoints().find(key);
      if (it != core.checkpoints().end()) checkpoints_.insert_or_assign(key, it->second);
    }
    for (const auto& key : changes.removed_checkpoints) checkpoints_.erase(key);
    for (const std::string& name : changes.workers)
      workers_.insert_or_assign(name, core.workers().at(name));
    for (const std::string& name : changes.removed_workers) workers_.erase(name);
    for (const std::string& name : changes.queues)
      queues_.insert_or_assign(name, core.queues().at(name));
    for (const std::string& name : changes.removed_queues) queues_.erase(name);
    for (const std::string& name : changes.schedules)
      schedules_.insert_or_assign(name, core.schedules().at(name));
    for (const std::string& name : changes.removed_schedules) schedules_.erase(name);
    for (const std::string& name : changes.sweeps)
      sweeps_.insert_or_assign(name, core.sweeps().at(name));
    for (const Event& event : changes.events) events_.emplace(event.number, event);
    for (const auto& [id, job] : changes.requests) requests_[id] = job;
    last_attempt_ = core.last_attempt();
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Event>> Events(const std::string& job, int64_t after,
                                            int limit) override {
    std::vector<Event> found;
    for (auto it = events_.upper_bound(after);
         it != events_.end() && static_cast<int>(found.size()) < limit; ++it) {
      if (job.empty() || it->second.job == job) found.push_back(it->second);
    }
    return found;
  }

  AccessStore& access() override { return *access_; }

 private:
  const std::unique_ptr<AccessStore> access_ = MakeMemoryAccessStore();
  std::map<std::string, Job> jobs_;
  std::map<CheckpointKey, Checkpoint> checkpoints_;
  std::map<std::string, Worker> workers_;
  std::map<std::string, Queue> queues_;
  std::map<std::string, JobSchedule> schedules_;
  std::map<std::string, Sweep> sweeps_;
  std::map<std::string, std::string> requests_;
  std::map<int64_t, Event> events_;
  int64_t last_attempt_ = 0;
};

}  // namespace

std::unique_ptr<Store> MakeMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace seer::coordinator
