// A job that is made of a spec again and again, by the clock. A value; see seer.v1.Schedule.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace seer::coordinator {

// Same names and numbers as seer.v1.OverlapPolicy.
enum class Overlap { kSkip = 1, kAllow, kReplace };

struct JobSchedule {
  std::string name;
  std::string cron;  // as Cron::Parse takes it
  std::string spec;  // serialized, as the client gave it: every job gets the defaults of its time
  Overlap overlap = Overlap::kSkip;
  bool suspended = false;
  absl::Time since;                        // times until here never count
  absl::Time last = absl::InfinitePast();  // the last time that was carried out
  std::string last_job;                    // id of the last job; empty: none yet
  std::string last_message;                // why `last` made no job; empty: it did
  int64_t changes = 1;                     // the etag
};

// A time that is to be carried out now.
struct DueTime {
  std::string schedule;
  absl::Time time;
  std::string spec;
  Overlap overlap = Overlap::kSkip;
  std::string running;  // id of the last job, if it has not ended; else empty
};

}  // namespace seer::coordinator
