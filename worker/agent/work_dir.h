// The agent's folder: one file a rank with its assignment, which the trainer reads, and beside it a
// link to its flight recorder and the trainer's last word. Held by one agent at a time. Not
// thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/internal/v1/agent.pb.h"

namespace seer::worker {

struct LastWord {
  std::string reason, message;
};

class WorkDir {
 public:
  // Makes the folder, locks it, and removes what an earlier agent left. PERMISSION_DENIED with
  // STORAGE_FAILED: it cannot be made. ALREADY_EXISTS with INVALID_ARGUMENT: another agent has it.
  static absl::StatusOr<std::unique_ptr<WorkDir>> Open(const std::string& path);
  ~WorkDir();

  std::string AssignmentPath(int64_t attempt_id, int rank) const;
  // UNAVAILABLE with STORAGE_FAILED: it cannot be written.
  absl::Status WriteAssignment(const internal::v1::Assign& assign) const;
  // "<assignment>.flight" leads to `target`. UNAVAILABLE with STORAGE_FAILED.
  absl::Status LinkFlight(int64_t attempt_id, int rank, const std::string& target) const;
  // Where the trainer of this assignment writes the port of its metrics.
  static std::string MetricsPortFile(const std::string& assignment_path) {
    return assignment_path + ".metrics";
  }
  // What the rank's trainer left, if it is a word at all; the rank's files are removed.
  std::optional<LastWord> TakeLastWord(int64_t attempt_id, int rank) const;

 private:
  WorkDir(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}

  const std::string path_;
  const int lock_fd_;
};

}  // namespace seer::worker
