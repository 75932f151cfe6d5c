#include "coordinator/core/history.h"

namespace seer::coordinator {

void RequestHistory::Add(const Request& request) {
  Erase(request.id);
  by_time_.emplace(request.time, request.id);
  by_id_[request.id] = request;
}

void RequestHistory::Erase(const std::string& id) {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return;
  by_time_.erase({it->second.time, id});
  by_id_.erase(it);
}

const std::string* RequestHistory::Find(const std::string& id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &it->second.job;
}

std::vector<std::string> RequestHistory::Expire(absl::Time before, size_t most) {
  std::vector<std::string> gone;
  while (gone.size() < most && Has(before)) {
    gone.push_back(by_time_.begin()->second);
    Erase(gone.back());
  }
  return gone;
}

bool RequestHistory::Has(absl::Time before) const {
  return !by_time_.empty() && by_time_.begin()->first < before;
}

void EventHistory::Load(int64_t first, std::vector<EventMark> marks) {
  first_ = first;
  marks_.assign(marks.begin(), marks.end());
}

void EventHistory::Add(int64_t number, absl::Time time) {
  if (number % kEventBlock == 0) marks_.push_back({number, time});
}

bool EventHistory::Expire(absl::Time before, int most) {
  const int64_t was = first_;
  for (; most > 0 && !marks_.empty() && marks_.front().time < before; --most) {
    first_ = marks_.front().number + 1;
    marks_.pop_front();
  }
  return first_ != was;
}

std::string EndedJobs::Next(absl::Time before) {
  auto it = by_time_.upper_bound(walked_);
  if (it == by_time_.end() || it->first >= before) it = by_time_.begin();
  if (it == by_time_.end() || it->first >= before) return "";
  walked_ = *it;
  return it->second;
}

}  // namespace seer::coordinator
