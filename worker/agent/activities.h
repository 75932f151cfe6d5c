// What the ranks of this machine do, read from their flight recorders and from /proc. Not
// thread-safe; the agent's loop owns it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/flight_recorder.h"
#include "seer/internal/v1/agent.pb.h"
#include "worker/agent/assignment.h"

namespace seer::worker {

class Activities {
 public:
  // Makes the rank's memory. Returns where its trainer opens it. Errors as FlightMemory::Create.
  absl::StatusOr<std::string> Watch(int64_t key);
  void Forget(int64_t key) { memories_.erase(key); }

  // Of the ranks of `table` that run and say what they do; of `attempt_id` alone, if it is given.
  // `now`: steady time.
  internal::v1::AgentMessage Report(const AssignmentTable& table, absl::Duration now,
                                    std::optional<int64_t> attempt_id = std::nullopt) const;
  // The last that the rank did, in one line; empty: not known.
  std::string LastEvents(int64_t key, absl::Duration now) const;

 private:
  std::map<int64_t, std::unique_ptr<FlightMemory>> memories_;
};

// The letter of /proc/<pid>/stat: "R", "S", "D", "T"; empty: there is no such process.
std::string ProcessState(int pid);

}  // namespace seer::worker
