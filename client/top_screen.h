// What `seer top` draws: jobs, the ranks of the chosen one, workers. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "seer/v1/jobs.pb.h"
#include "seer/v1/workers.pb.h"

namespace seer::client {

class TopScreen {
 public:
  // What is drawn from now on. `chosen` is the whole of the job that Chosen() names; nullptr: it is
  // not known.
  void Show(std::vector<v1::Job> jobs, std::vector<v1::Worker> workers, const v1::Job* chosen);
  // What is shown is old, and why; empty: it is not.
  void Trouble(const std::string& why) { trouble_ = why; }
  // Keys as a terminal sends them, several at a time: arrows choose a job and the column to sort
  // by, 'r' turns the order, 'q' and Escape end. False: end.
  bool Keys(const std::string& keys);
  std::string Chosen() const;  // full name; empty: there is no job

  // At most `height` lines of at most `width` columns, with "\n" between. `color`: with escape
  // sequences, which do not count.
  std::string Draw(int width, int height, absl::Time now, bool color) const;

 private:
  void Sort();
  void Move(int by);

  std::vector<v1::Job> jobs_;
  std::vector<v1::Worker> workers_;
  v1::Job whole_;       // of the chosen one; without a name: not known
  std::string chosen_;  // full name
  std::string trouble_;
  size_t sort_ = 0;  // a column
  bool reversed_ = false;
};

}  // namespace seer::client
