// The jobs by state, by when they were made, and by name, so that a page of a list, or a name,
// costs no walk over all of them. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/core/model.h"

namespace seer::coordinator {

class JobIndex {
 public:
  // `job` stays where it is, and is told to Move when its state changes.
  void Add(const Job& job);
  void Move(const Job& job, JobState to);  // before job.state does
  void Remove(const Job& job);             // that has ended

  const Job* Newest(const std::string& name) const;  // nullptr: none
  const Job* Live(const std::string& name) const;    // that has not ended; nullptr: none
  // Those in one of `states` (empty: in any) whose numbers are below `below`, the newest first, at
  // most `count`.
  std::vector<const Job*> Page(const std::set<JobState>& states, int64_t below, int count) const;

 private:
  using ByNumber = std::map<int64_t, const Job*>;
  static constexpr size_t kStates = static_cast<size_t>(JobState::kCancelled) + 1;

  std::array<ByNumber, kStates> by_state_;
  std::unordered_map<std::string, ByNumber> by_name_;
  std::unordered_map<std::string, std::set<const Job*>> live_;  // by name
};

}  // namespace seer::coordinator
