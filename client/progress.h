// One bar a job on a terminal, rewritten in place; elsewhere a plain line on each change of state
// and every ten seconds. Not thread-safe.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "seer/v1/jobs.pb.h"

namespace seer::client {

// The line for a job, at most `width` columns. `color`: with escape sequences, which do not count.
std::string ProgressLine(const v1::Job& job, int width, bool color);

class ProgressView {
 public:
  ProgressView();  // looks at stderr and NO_COLOR
  void Show(const v1::Job& job);
  // Of something else than a job: `text` in its line; off a terminal on each change of `state`.
  void ShowText(const std::string& state, const std::string& text);
  void Message(const std::string& text);  // a line of its own, above the bar
  void Done();                            // leaves the last line standing

 private:
  const bool terminal_;
  const bool color_;
  bool drawn_ = false;
  std::string state_;
  absl::Duration printed_at_ = -absl::InfiniteDuration();
};

}  // namespace seer::client
