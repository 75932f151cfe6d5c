// Makes a unit of an ingest: reads its images, checks each by decoding it, applies the policy and
// writes shards. What comes of it depends on the images, the policy and the time that it is told,
// and, as far as images are present already, on the generation before.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dataservice/ingest/counts.h"
#include "dataservice/ingest/policy.h"
#include "dataservice/ingest/sources.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/manifest.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/pool/takedowns.h"

namespace seer::dataservice {

struct UnitResult {
  int64_t parent = 0;  // the generation whose rows count as present
  IngestCounts counts;
  std::vector<ShardInfo> shards;
  std::vector<CatalogueRow> rows;  // `shard` is a place in `shards`; without `added_in`
  std::vector<QuarantinedImage> quarantined;
  std::vector<RefusedImage> refused;  // at most RefusedImage::kMostOfARule of each rule
};

// What tells a row from others: 64 bits of an image's id and source. Of a billion rows and a new
// image two are alike once in 10^10.
uint64_t RowKey(const ImageId& id, absl::string_view source);

// What units have in common. What it points to must outlive it.
struct UnitContext {
  PoolStore* store = nullptr;
  std::string pool;
  const PolicyRules* policy = nullptr;
  const TakedownSet* takedowns = nullptr;
  const absl::flat_hash_set<uint64_t>* present = nullptr;  // RowKey of the parent's rows
  absl::Time now;                                          // of the ingest
  int64_t shard_bytes = 0;
  bool dry_run = false;                      // no shard is written, and no row is kept
  int threads = 1;                           // that decode
  int64_t block_bytes = int64_t{256} << 20;  // of images in memory, about
  std::function<absl::Status()> keep_alive;  // called before a shard is written, and often
};

// `report` is called after each block of images with what has come since; a status that is not OK
// ends the unit with it. Also the errors of the source and of the store.
absl::StatusOr<UnitResult> MakeUnit(ImageSource& source, const UnitContext& context,
                                    absl::FunctionRef<absl::Status(const IngestCounts&)> report);

}  // namespace seer::dataservice
