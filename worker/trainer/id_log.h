// Which images each step used, written before the step runs: one line of JSON a step,
// {"step": s, "ids": ["…", …]}, in <storage>/<job>/ids/. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/session/batch.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/v1/job_spec.pb.h"

namespace seer::worker {

// As everywhere an image is named: the SHA-256 in lower-case hex.
std::string ImageIdHex(const std::array<uint8_t, 32>& id);

class IdLog {
 public:
  // nullopt: the job does not want it. UNAVAILABLE with STORAGE_FAILED: it cannot be written.
  // INVALID_ARGUMENT: storage is in the cloud, where nothing can be appended.
  static absl::StatusOr<std::optional<IdLog>> Open(const v1::JobSpec& spec,
                                                   const internal::v1::Assign& assign);
  // RESOURCE_EXHAUSTED with DISK_FULL.
  absl::Status Write(const engine::Batch& batch);

 private:
  std::ofstream file_;
};

}  // namespace seer::worker
