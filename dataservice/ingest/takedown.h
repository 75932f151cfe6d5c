// Takes images out of a pool: writes the record, commits a generation without their rows, writes
// the shards that hold their bytes anew with zeros in their place, and deletes the old ones. Killed
// anywhere, CompleteTakedowns goes on from what lies in the pool.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/pool/takedowns.h"

namespace seer::dataservice {

struct TakedownCounts {
  int64_t rows = 0;              // of the newest generation that have one of the images
  int64_t shards_total = 0;      // that hold their bytes
  int64_t shards_rewritten = 0;  // of these
};
// A status that is not OK ends the work with it; it can be gone on with.
using TakedownProgress = std::function<absl::Status(const TakedownCounts&)>;

// `ids`: without order, may repeat. Gives the finished record; of images whose takedown has been
// finished before, that record. NOT_FOUND with IMAGE_NOT_FOUND: an id is in no generation, and in
// no record; nothing is done. ABORTED with POOL_WRITE_CONFLICT: other writers committed first, time
// and again; the record stays. Also the store's errors.
absl::StatusOr<TakedownRecord> TakeDown(PoolStore& store, Clock& clock, const std::string& pool,
                                        std::vector<ImageId> ids, const std::string& reason,
                                        const TakedownProgress& progress);
// What TakeDown would count. Errors as TakeDown.
absl::StatusOr<TakedownCounts> TryTakeDown(PoolStore& store, const std::string& pool,
                                           const std::vector<ImageId>& ids);
// Finishes all takedowns that are not.
absl::Status CompleteTakedowns(PoolStore& store, Clock& clock, const std::string& pool,
                               const TakedownProgress& progress);

}  // namespace seer::dataservice
