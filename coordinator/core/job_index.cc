#include "coordinator/core/job_index.h"

#include <iterator>
#include <utility>

#include "coordinator/core/job_states.h"

namespace seer::coordinator {

void JobIndex::Add(const Job& job) {
  by_state_[static_cast<size_t>(job.state)][job.number] = &job;
  by_name_[job.name][job.number] = &job;
  if (!Ended(job.state)) live_[job.name].insert(&job);
}

void JobIndex::Move(const Job& job, JobState to) {
  by_state_[static_cast<size_t>(job.state)].erase(job.number);
  by_state_[static_cast<size_t>(to)][job.number] = &job;
  if (!Ended(to)) return;
  const auto it = live_.find(job.name);
  if (it == live_.end()) return;
  it->second.erase(&job);
  if (it->second.empty()) live_.erase(it);
}

void JobIndex::Remove(const Job& job) {
  by_state_[static_cast<size_t>(job.state)].erase(job.number);
  const auto it = by_name_.find(job.name);
  it->second.erase(job.number);
  if (it->second.empty()) by_name_.erase(it);
}

const Job* JobIndex::Newest(const std::string& name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second.rbegin()->second;
}

const Job* JobIndex::Live(const std::string& name) const {
  const auto it = live_.find(name);
  return it == live_.end() ? nullptr : *it->second.begin();
}

std::vector<const Job*> JobIndex::Page(const std::set<JobState>& states, int64_t below,
                                       int count) const {
  // Where each state's numbers go on: the largest of them all comes next.
  std::vector<std::pair<const ByNumber*, ByNumber::const_iterator>> places;
  for (size_t i = 0; i < kStates; ++i) {
    if (!states.empty() && !states.contains(static_cast<JobState>(i))) continue;
    places.emplace_back(&by_state_[i], by_state_[i].lower_bound(below));
  }
  std::vector<const Job*> page;
  while (static_cast<int>(page.size()) < count) {
    std::pair<const ByNumber*, ByNumber::const_iterator>* newest = nullptr;
    for (auto& place : places) {
      if (place.second == place.first->begin()) continue;
      if (newest == nullptr || std::prev(place.second)->first > std::prev(newest->second)->first)
        newest = &place;
    }
    if (newest == nullptr) break;
    page.push_back((--newest->second)->second);
  }
  return page;
}

}  // namespace seer::coordinator
