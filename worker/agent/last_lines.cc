#include "worker/agent/last_lines.h"

#include <iterator>

namespace seer::worker {

void LastLines::Add(const std::string& line) {
  lines_.push_back(line.substr(0, kMaxBytes));
  bytes_ += lines_.back().size();
  while (lines_.size() > kMaxLines || bytes_ > kMaxBytes) {
    bytes_ -= lines_.front().size();
    lines_.pop_front();
  }
}

std::vector<std::string> LastLines::Take() && {
  return {std::make_move_iterator(lines_.begin()), std::make_move_iterator(lines_.end())};
}

}  // namespace seer::worker
