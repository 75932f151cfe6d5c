// The end of a rank's output, by which the coordinator tells why it failed. Not thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

namespace seer::worker {

class LastLines {
 public:
  static constexpr size_t kMaxLines = 40, kMaxBytes = 8000;

  // What is beyond either bound is forgotten, the oldest first; a longer line keeps its beginning.
  void Add(const std::string& line);
  std::vector<std::string> Take() &&;  // oldest first

 private:
  std::deque<std::string> lines_;
  size_t bytes_ = 0;
};

}  // namespace seer::worker
