// Runs the units of an ingest on several threads ("ingest"), each unit on one of them.
#pragma once

#include <cstddef>
#include <functional>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "dataservice/ingest/counts.h"

namespace seer::dataservice {

// Takes what has come of a unit since it was last called; not OK: the unit ends with that.
using UnitReport = absl::FunctionRef<absl::Status(const IngestCounts&)>;

// Calls `make` once for each of the units [begin, end), from `threads` threads, and `progress` on
// the caller's thread with the sum, whose first value is `counts`, whenever there is news. The
// first status that is not OK ends it: units that run end with their next report, and no other is
// begun. Returns when all threads are done.
absl::StatusOr<IngestCounts> RunUnits(
    size_t begin, size_t end, int threads, IngestCounts counts,
    const std::function<absl::Status(size_t unit, UnitReport report)>& make,
    const std::function<absl::Status(const IngestCounts&)>& progress);

}  // namespace seer::dataservice
