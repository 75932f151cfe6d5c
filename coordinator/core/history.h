// What is known of events, request ids and jobs that have ended, in the order in which it gets old:
// which of it goes next. Values; pure. Nothing here is thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace seer::coordinator {

// How long a repeated request is known by its id, at most.
inline constexpr absl::Duration kKeepRequests = absl::Hours(24 * 7);

// The answer to a client's request: "<verb>/<request id>" -> the id of what it made or changed.
struct Request {
  std::string id;
  std::string job;
  absl::Time time;
  bool operator==(const Request&) const = default;
};

class RequestHistory {
 public:
  void Add(const Request& request);  // again: with its new time
  void Erase(const std::string& id);
  const std::string* Find(const std::string& id) const;  // its job; nullptr: not known
  // Those from before `before`, the oldest first, at most `most`: they are forgotten.
  std::vector<std::string> Expire(absl::Time before, size_t most);
  // One is left from before `before`.
  bool Has(absl::Time before) const;
  size_t size() const { return by_id_.size(); }

 private:
  std::map<std::string, Request> by_id_;
  std::set<std::pair<absl::Time, std::string>> by_time_;
};

// When the event with this number happened; of every kEventBlock-th.
struct EventMark {
  int64_t number = 0;
  absl::Time time;
};
// Events go in blocks of so many, so that the time of one in a block is enough to know: up to so
// many that are older stay.
inline constexpr int64_t kEventBlock = 256;

class EventHistory {
 public:
  // `first`: the oldest that is kept; `marks` by number.
  void Load(int64_t first, std::vector<EventMark> marks);
  void Add(int64_t number, absl::Time time);  // in the order of their numbers
  int64_t first() const { return first_; }
  // Forgets blocks whose last event is from before `before`, at most `most` blocks. True: some.
  bool Expire(absl::Time before, int most);

 private:
  int64_t first_ = 1;
  std::deque<EventMark> marks_;
};

// Jobs that have ended, by when they did.
class EndedJobs {
 public:
  void Add(const std::string& job, absl::Time ended) { by_time_.emplace(ended, job); }
  void Erase(const std::string& job, absl::Time ended) { by_time_.erase({ended, job}); }
  // The next job that ended before `before`, in a walk that begins again at its end: the oldest may
  // have to stay. Empty: there is none.
  std::string Next(absl::Time before);

 private:
  std::set<std::pair<absl::Time, std::string>> by_time_;
  std::pair<absl::Time, std::string> walked_ = {absl::InfinitePast(), ""};
};

}  // namespace seer::coordinator
