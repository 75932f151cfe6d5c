// Images that were taken out of a pool: <pool>/takedowns/<name>.json, a record a takedown
// (docs/pool_format.md). From its record on, an image counts as one that cannot be decoded.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/object_store.h"
#include "dataservice/pool/row_finder.h"

namespace seer::dataservice {

struct TakedownRecord {
  std::string name;          // "<time>-<hash of the ids>", of the file without its ending
  std::vector<ImageId> ids;  // ascending
  std::string reason;
  absl::Time created;
  int64_t generation = 0;  // the first without the images; 0: not committed
  // What the images' bytes were wiped out of: the shard's name before and after. The newer one is
  // read in place of the older also by generations that name the older.
  std::map<std::string, std::string> shards;
  absl::Time finished = absl::InfiniteFuture();  // the older shards are gone; infinite: not yet
  bool done() const { return finished != absl::InfiniteFuture(); }
};

// A new record's name.
std::string TakedownName(absl::Time created, const std::vector<ImageId>& ids);
std::string TakedownKey(const std::string& pool, const std::string& name);
std::string ToJson(const TakedownRecord& record);
absl::StatusOr<TakedownRecord> TakedownFromJson(const std::string& json, const std::string& where);
// Oldest first. POOL_CORRUPT names the file.
absl::StatusOr<std::vector<TakedownRecord>> ReadTakedowns(ObjectStore& objects,
                                                          const std::string& pool);

// All records of a pool together. Immutable.
class TakedownSet {
 public:
  TakedownSet() = default;
  explicit TakedownSet(const std::vector<TakedownRecord>& records);
  bool Contains(const ImageId& id) const { return ids_.contains(id); }
  const ImageIds& ids() const { return ids_; }
  // Where the bytes of a shard that a manifest names lie today.
  const std::string& ShardNow(const std::string& shard) const;

 private:
  ImageIds ids_;
  std::map<std::string, std::string> shards_;
};

}  // namespace seer::dataservice
