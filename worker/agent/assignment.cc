#include "worker/agent/assignment.h"

#include <algorithm>
#include <set>
#include <utility>

namespace seer::worker {

AssignmentTable::Taken AssignmentTable::Take(const Assignment& assignment) {
  for (const auto& [key, entry] : entries_) {
    if (entry.assignment.attempt_id == assignment.attempt_id &&
        entry.assignment.rank == assignment.rank)
      return {Verdict::kKnown, key};
  }
  const auto newest = newest_attempt_.find(assignment.job);
  if (newest != newest_attempt_.end() && assignment.attempt_id < newest->second)
    return {Verdict::kStale, 0};
  Remember(assignment.job, assignment.attempt_id);
  const std::optional<int> device = FreeDevice();
  entries_[++last_key_] = {assignment, device, std::nullopt, std::nullopt};
  return {device ? Verdict::kStart : Verdict::kWait, last_key_};
}

std::optional<int> AssignmentTable::FreeDevice() const {
  std::set<int> taken;
  for (const auto& [key, entry] : entries_)
    if (!entry.exit && entry.device) taken.insert(*entry.device);
  for (int device = 0; device < devices_; ++device)
    if (!taken.contains(device)) return device;
  return std::nullopt;
}

std::optional<int64_t> AssignmentTable::GiveDevice() {
  const auto waits = std::find_if(entries_.begin(), entries_.end(), [](const auto& item) {
    return !item.second.exit && !item.second.device;
  });
  if (waits == entries_.end()) return std::nullopt;
  waits->second.device = FreeDevice();
  if (!waits->second.device) return std::nullopt;
  return waits->first;
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
  sent_beats_ = acked_beats_ = sent_exits_ = 0;
  StreamClosed();
}

void AssignmentTable::StreamClosed() {
  for (auto& [key, entry] : entries_) entry.sent.reset();
}

bool AssignmentTable::HeartbeatAcknowledged(std::optional<int64_t> exits_known) {
  ++acked_beats_;
  return std::erase_if(entries_, [&](const auto& item) {
           const auto& sent = item.second.sent;
           return sent && (exits_known ? sent->number <= *exits_known : sent->beats < acked_beats_);
         }) > 0;
}

std::vector<int64_t> AssignmentTable::UnsentExits() const {
  std::vector<int64_t> keys;
  for (const auto& [key, entry] : entries_)
    if (entry.exit && !entry.sent) keys.push_back(key);
  return keys;
}

void AssignmentTable::ExitSent(int64_t key) {
  const auto it = entries_.find(key);
  if (it != entries_.end() && it->second.exit)
    it->second.sent = Entry::Sent{++sent_exits_, sent_beats_};
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
