// What an ingest left out, one file an ingest: <pool>/quarantine/<generation>-<hash>.jsonl for what
// could not be decoded, <pool>/refused/<generation>-<hash>.jsonl for what the policy refused.
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

struct RefusedImage {
  // Of an ingest so many are kept for each rule; all are counted.
  static constexpr int64_t kMostOfARule = 10'000;
  std::string source;
  std::string rule;
  absl::Time time;
};

// As those of the quarantine.
absl::Status WriteRefused(ObjectStore& store, const std::string& pool, const std::string& name,
                          const std::vector<RefusedImage>& images);
absl::StatusOr<std::vector<RefusedImage>> ReadRefused(ObjectStore& store, const std::string& pool);

}  // namespace seer::dataservice
