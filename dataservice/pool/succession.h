// The rows that a pool's next generation takes over from the one before: all but those that are
// dropped. Files of which nothing is dropped are shared, as shards are; the others are written
// without those rows. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "dataservice/pool/pool_store.h"

namespace seer::dataservice {

// Adds an image's row to the counts of a manifest; `classes` takes the set of all labels and is not
// moved.
void CountRow(const CatalogueRow& row, Manifest& manifest);

class Succession {
 public:
  using Drop = std::function<bool(const CatalogueRow&)>;

  // `store` must outlive this. `drop` is asked up to twice for each row of `parent`.
  Succession(PoolStore& store, std::string pool, Manifest parent, Drop drop)
      : store_(store), pool_(std::move(pool)), parent_(std::move(parent)), drop_(std::move(drop)) {}

  // Reads every row once and calls `kept` with those that stay. Gives the manifest of the next
  // generation with the counts of these, still without files, and with the classes left as they
  // were. POOL_CORRUPT as ForEachRow; also a row whose shard the manifest does not have.
  absl::StatusOr<Manifest> Survey(absl::FunctionRef<void(const CatalogueRow&)> kept);
  int64_t dropped() const { return dropped_; }

  // After Survey: writes the files that change and gives all, in the order of their rows.
  absl::StatusOr<std::vector<CatalogueFile>> Write();

 private:
  PoolStore& store_;
  const std::string pool_;
  const Manifest parent_;
  const Drop drop_;
  int64_t dropped_ = 0;
  std::vector<bool> changes_;  // of each file: a row of it is dropped
};

}  // namespace seer::dataservice
