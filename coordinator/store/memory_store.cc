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
    for (const auto& [id, request] : requests_) state.requests.push_back(request);
    for (const auto& [number, event] : events_)
      if (number % kEventBlock == 0) state.event_marks.push_back({number, event.created});
    state.first_event = first_event_;
    state.last_event = last_event_;
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
    remove(sweeps_, changes.removed_sweeps);
    remove(jobs_, changes.removed_jobs);
    return [this, edits = std::move(edits), events = changes.events, requests = changes.requests,
            removed_jobs = changes.removed_jobs, removed_requests = changes.removed_requests,
            first_kept = changes.first_event, first_event = core.first_event(),
            last_event = core.last_event(), last_attempt = core.last_attempt()] {
      for (const auto& edit : edits) edit();
      for (const Event& event : events) events_.emplace(event.number, event);
      for (const Request& request : requests) requests_[request.id] = request;
      for (const std::string& id : removed_jobs)
        std::erase_if(events_, [&id](const auto& item) { return item.second.job == id; });
      for (const std::string& id : removed_requests) requests_.erase(id);
      events_.erase(events_.begin(), events_.lower_bound(first_kept));
      first_event_ = first_event;
      last_event_ = last_event;
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
  std::map<std::string, Request> requests_;
  std::map<int64_t, Event> events_;
  int64_t first_event_ = 1, last_event_ = 0, last_attempt_ = 0;
};

}  // namespace

std::unique_ptr<Store> MakeMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace seer::coordinator
