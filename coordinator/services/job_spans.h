// A job's spans: from its wish for devices to its gang's start, and each attempt from its start to
// its end. They belong to the trace of what made the job. Not thread-safe: the core's loop owns it.
#pragma once

#include <map>
#include <string>

#include "coordinator/core/model.h"

namespace seer::coordinator {

// What the ranks of the job's live attempt belong to: the attempt's span, whose id follows from the
// attempt's, so that a coordinator which starts again goes on with it. Without tracing here, what
// the job was made with; empty: no trace.
std::string TraceparentOfRanks(const Job& job);

class JobSpans {
 public:
  // In the order of the events' numbers; `job`: as it is now.
  void Happened(const Event& event, const Job& job);
  // It may have an attempt that an earlier coordinator began.
  void Changed(const Job& job);

 private:
  struct Running {
    int64_t id = 0;
    int number = 0;
    absl::Time started;
    size_t ranks = 0;
  };
  std::map<std::string, absl::Time> wished_;  // job id -> since when it wants devices
  std::map<std::string, Running> attempts_;   // of jobs that have one, once it was seen
};

}  // namespace seer::coordinator
