#include "worker/agent/assignment.h"

#include <algorithm>
#include <set>
#include <utility>

namespace seer::worker {

AssignmentTable::Taken AssignmentTable::Take(const Assignment& assignment) {
  for (const auto& [key, entry] : entries_) {
    if (entry.assignment.attempt_id == assignment.attempt_id &&
        entry.assignment.rank == assignment.rank)
      return {Verdict::kKnown, key, entry.device};
  }
  const auto newest = newest_attempt_.find(assignment.job);
  if (newest != newest_attempt_.end() && assignment.attempt_id < newest->second)
    return {Verdict::kStale, 0, 0};
  Remember(assignment.job, assignment.attempt_id);
  const int device = FreeDevice();
  entries_[++last_key_] = {assignment, device, std::nullopt, std::nullopt};
  return {Verdict::kStart, last_key_, device};
}

int AssignmentTable::FreeDevice() const {
  std::set<int> taken;
  for (const auto& [key, entry] : entries_)
    if (!entry.exit) taken.insert(entry.device);
  int device = 0;
  while (taken.contains(device)) ++device;
  return device;
}

void AssignmentTable::Remember(const std::string& job, int64_t attempt_id) {
  newest_attempt_[job] = attempt_id;
  if (newest_attempt_.size() <= kMaxRememberedJobs) return;
  newest_attempt_.erase(
      std::min_element(newest_attempt_.begin(), newest_attempt_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; }));
}

void AssignmentTable::Exited(int64_t key, RankExit exit) {
  const auto it = entries_.find(key);
  if (it != entries_.end() && !it->second.exit) it->second.exit = std::move(exit);
}

void AssignmentTable::StreamOpened() {
  sent_beats_ = acked_beats_ = 0;
  StreamClosed();
}

void AssignmentTable::StreamClosed() {
  for (auto& [key, entry] : entries_) entry.exit_sent_after.reset();
}

bool AssignmentTable::HeartbeatAcknowledged() {
  ++acked_beats_;
  return std::erase_if(entries_, [&](const auto& item) {
           const Entry& entry = item.second;
           return entry.exit_sent_after && acked_beats_ > *entry.exit_sent_after;
         }) > 0;
}

std::vector<int64_t> AssignmentTable::UnsentExits() const {
  std::vector<int64_t> keys;
  for (const auto& [key, entry] : entries_)
    if (entry.exit && !entry.exit_sent_after) keys.push_back(key);
  return keys;
}

void AssignmentTable::ExitSent(int64_t key) {
  const auto it = entries_.find(key);
  if (it != entries_.end() && it->second.exit) it->second.exit_sent_after = sent_beats_;
}

const AssignmentTable::Entry* AssignmentTable::Find(int64_t key) const {
  const auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : &it->second;
}

std::vector<int64_t> AssignmentTable::Running() const {
  std::vector<int64_t> keys;
  for (const auto& [key, entry] : entries_)
    if (!entry.exit) keys.push_back(key);
  return keys;
}

std::vector<int64_t> AssignmentTable::RunningOf(int64_t attempt_id) const {
  std::vector<int64_t> keys;
  for (const auto& [key, entry] : entries_)
    if (!entry.exit && entry.assignment.attempt_id == attempt_id) keys.push_back(key);
  return keys;
}

}  // namespace seer::worker
