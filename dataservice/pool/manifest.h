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
};

struct ShardInfo {
  std::string name;  // "<sha256>.tar", below <pool>/shards/
  int64_t size_bytes = 0;
  int64_t images = 0;
};

struct Manifest {
  static constexpr int kSchemaVersion = 1;
  int64_t generation = 0;
  int64_t parent = 0;  // 0: none
  absl::Time created;
  std::string request_id;                    // of the ingest that made it
  std::vector<std::string> catalogue_files;  // below the generation's folder
  std::vector<ShardInfo> shards;             // a row's shard is an index into it
  int64_t images = 0;
  int64_t size_bytes = 0;  // of the images
  int64_t labelled_images = 0;
  int classes = 0;
  std::map<std::string, int64_t> formats;
  std::map<std::string, int64_t> refused;  // by rule, over all ingests
  int64_t quarantined = 0;                 // over all ingests
};

// <pool>/pool.json, written once.
struct PoolInfo {
  absl::Time created;
  PoolPolicy policy;
  std::string request_id = "";  // of the call that made it; empty: it gave none
};

std::string ToJson(const Manifest& manifest);
std::string ToJson(const PoolInfo& info);
// DATA_LOSS with POOL_CORRUPT: not what this or an older version wrote.
absl::StatusOr<Manifest> ManifestFromJson(const std::string& json, const std::string& where);
absl::StatusOr<PoolInfo> PoolInfoFromJson(const std::string& json, const std::string& where);

}  // namespace seer::dataservice
