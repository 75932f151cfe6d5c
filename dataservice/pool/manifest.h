// What a generation of a pool is made of: <pool>/generations/<n>/manifest.json. A value.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seer::dataservice {

// Which images a pool takes. Unset parts accept everything;
// what is not known about an image counts as not allowed.
struct PoolPolicy {
  absl::Duration max_age = absl::InfiniteDuration();  // of captured_at
  std::vector<std::string> excluded_countries;  // ISO 3166 alpha-2; "EU": all of the EU and EEA
  bool public_only = false;
  int min_side_pixels = 1;
  int max_side_pixels = 0;              // of the longer side; 0: no limit
  int64_t max_bytes = 0;                // of the image file; 0: no limit
  std::vector<std::string> formats;     // allowed; none: all
  std::vector<std::string> predicates;  // all of them hold (dataservice/ingest/predicate.h)
};

struct ShardInfo {
  std::string name;  // "<sha256>.tar", below <pool>/shards/
  int64_t size_bytes = 0;
  int64_t images = 0;  // rows of the generation that lie in it; 0: it does not read the shard
};

// A run of the catalogue's rows, twice: with all columns, and as what serving needs.
struct CatalogueFile {
  std::string catalogue;   // "images-….parquet"
  std::string index;       // "index-….bin", beside it
  int64_t rows = 0;        // of either, at least 1
  int64_t generation = 0;  // in whose folder both lie: the one that brought them in
};

struct Manifest {
  static constexpr int kSchemaVersion = 3;
  int64_t generation = 0;
  int64_t parent = 0;  // 0: none
  absl::Time created;
  std::string request_id;            // of the ingest that made it
  std::string ingest = "";           // hash of what that was asked and found; empty: no ingest
  std::vector<CatalogueFile> files;  // in the order of the rows
  std::vector<ShardInfo> shards;     // a row's shard is an index into it
  int64_t images = 0;
  int64_t size_bytes = 0;  // of the images
  int64_t labelled_images = 0;
  int classes = 0;
  int longest_side = 0;  // pixels, of any image; 0: not known
  std::map<std::string, int64_t> formats;
  std::map<std::string, int64_t> refused;  // by rule, over all ingests
  int64_t quarantined = 0;                 // over all ingests
};

// <pool>/pool.json, written once.
struct PoolInfo {
  static constexpr int kSchemaVersion = 1;
  absl::Time created;
  PoolPolicy policy;
  std::string request_id = "";  // of the call that made it; empty: it gave none
};

std::string ToJson(const Manifest& manifest);
std::string ToJson(const PoolInfo& info);
// DATA_LOSS with POOL_CORRUPT: not what ToJson writes; the message says if another version wrote
// it. Needs memory for the text and the result, whatever the number of shards.
absl::StatusOr<Manifest> ManifestFromJson(const std::string& json, const std::string& where);
absl::StatusOr<PoolInfo> PoolInfoFromJson(const std::string& json, const std::string& where);

// The key of an object in a generation's folder, and those of a file that a manifest names.
std::string GenerationKey(const std::string& pool, int64_t generation, const std::string& name);
std::string CatalogueKey(const std::string& pool, const CatalogueFile& file);
std::string IndexKey(const std::string& pool, const CatalogueFile& file);

}  // namespace seer::dataservice
