// Compares what a generation's shards hold with its catalogue. Memory does not grow with the
// generation, but for a bit a shard. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/object_store.h"
#include "dataservice/pool/location_index.h"
#include "dataservice/pool/takedowns.h"
#include "seer/v1/pool_inspection.pb.h"

namespace seer::dataservice {

inline constexpr int64_t kDefaultMaxFindings = 1000;

struct VerifyOptions {
  std::optional<int64_t> sample;               // at least 1; unset: all of it
  uint64_t seed = 0;                           // of the sample
  int64_t max_findings = kDefaultMaxFindings;  // at least 1
};

// Each shard is read once, in the order of the catalogue's rows, 8 MiB at a time; images that were
// taken down are left out. `report` gets what was found at least every second, at last with `done`;
// its error ends the call and is returned. Also the store's errors, and POOL_CORRUPT: the catalogue
// or the index cannot be read.
absl::Status VerifyGeneration(
    ObjectStore& objects, Clock& clock, const std::string& pool, const Generation& generation,
    const TakedownSet& takedowns, const VerifyOptions& options,
    absl::FunctionRef<absl::Status(const v1::VerifyPoolProgress&)> report);

}  // namespace seer::dataservice
