// What could not be decoded, and why:
// <pool>/quarantine/<generation>-<hash>.jsonl, one file an ingest.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/object_store.h"

namespace seer::dataservice {

struct QuarantinedImage {
  std::string source;
  std::string reason;  // UPPER_SNAKE
  std::string message;
  absl::Time time;
};

// `name`: of the file, without its folder.
absl::Status WriteQuarantine(ObjectStore& store, const std::string& pool, const std::string& name,
                             const std::vector<QuarantinedImage>& images);
// All of a pool, oldest file first.
absl::StatusOr<std::vector<QuarantinedImage>> ReadQuarantine(ObjectStore& store,
                                                             const std::string& pool);

}  // namespace seer::dataservice
