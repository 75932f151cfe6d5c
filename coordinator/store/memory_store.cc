#include <functional>
#include <map>
#include <utility>
#include <vector>

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

  Commit Prepare(const Changes& changes, const Core& core) override {
    std::vector<std::function<void()>> edits;
    const auto put = [&edits](auto& records, const auto& keys, const auto& values) {
      for (const auto& key : keys) {
        if (const auto it = values.find(key); it != values.end())
          edits.push_back(
              [&records, key, value = it->second] { records.insert_or_assign(key, value); });
      }
    };
    const auto remove = [&edits](auto& records, const auto& keys) {
      for (const auto& key : keys) edits.push_back([&records, key] { records.erase(key); });
    };
    put(jobs_, changes.jobs, core.jobs());
    put(checkpoints_, changes.checkpoints, core.checkpoints());
    remove(checkpoints_, changes.removed_checkpoints);
    put(workers_, changes.workers, core.workers());
    remove(workers_, changes.removed_workers);
    put(queues_, changes.queues, core.queues());
    remove(queues_, changes.removed_queues);
    put(schedules_, changes.schedules, core.schedules());
    remove(schedules_, changes.removed_schedules);
    put(sweeps_, changes.sweeps, core.sweeps());
    return [this, edits = std::move(edits), events = changes.events, requests = changes.requests,
            last_attempt = core.last_attempt()] {
      for (const auto& edit : edits) edit();
      for (const Event& event : events) events_.emplace(event.number, event);
      for (const auto& [id, job] : requests) requests_[id] = job;
      last_attempt_ = last_attempt;
      return absl::OkStatus();
    };
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
