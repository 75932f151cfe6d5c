// A generation's index: where each row's image lies, as records of a fixed size beside the Parquet
// catalogue, so that one row or a block of rows is one range read (docs/pool_format.md).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/object_store.h"
#include "dataservice/pool/manifest.h"
#include "dataservice/pool/read_once_cache.h"

namespace seer::dataservice {

using ImageId = std::array<uint8_t, 32>;  // SHA-256 of the image's bytes
std::string IdHex(const ImageId& id);

// One record of the index as it lies in the file, little-endian: 64 bytes without padding.
struct ImageLocation {
  ImageId id{};
  int64_t offset = 0;  // of the image's bytes within the shard
  int64_t size = 0;
  int32_t shard = 0;  // index into the manifest's shards
  int32_t width = 0;  // upright, pixels
  int32_t height = 0;
  int32_t label = -1;  // -1: none
  friend bool operator==(const ImageLocation&, const ImageLocation&) = default;
};

constexpr int64_t kLocationBytes = 64;
// Rows that are read and kept together: a block of the sample order, 4 KiB.
constexpr int64_t kIndexBlockRows = 64;

void AppendLocation(const ImageLocation& location, std::string& bytes);

// DATA_LOSS with POOL_CORRUPT: the index file `key` is not what its manifest says.
absl::Status CorruptIndex(const std::string& key, const std::string& why);
// POOL_CORRUPT: the record of `row` names bytes that are in none of `shards`.
absl::Status CheckInsideShard(const ImageLocation& image, const std::vector<ShardInfo>& shards,
                              const std::string& key, int64_t row);

// Blocks of records in memory, of all generations. A key is the index file's and a block's number.
using LocationBlock = std::shared_ptr<const std::vector<ImageLocation>>;
class LocationCache : public ReadOnceCache<std::pair<std::string, int64_t>, LocationBlock> {
 public:
  // Of eight windows of the sample order.
  static constexpr int64_t kDefaultBytes = int64_t{128} << 20;
  explicit LocationCache(int64_t capacity_bytes = kDefaultBytes) : ReadOnceCache(capacity_bytes) {}
};

// A committed generation as serving needs it: its manifest in memory, its rows in storage.
// Thread-safe if the store is.
class Generation {
 public:
  // Lists the folders of generations, reads nothing. `objects` and `cache` must outlive the result.
  // DATA_LOSS with POOL_CORRUPT: an index file is absent or is not of its rows' size.
  static absl::StatusOr<std::shared_ptr<const Generation>> Open(ObjectStore& objects,
                                                                LocationCache& cache,
                                                                const std::string& pool,
                                                                Manifest manifest);

  const Manifest& manifest() const { return manifest_; }
  int64_t number() const { return manifest_.generation; }
  int64_t images() const { return manifest_.images; }
  const ShardInfo& ShardOf(const ImageLocation& image) const {
    return manifest_.shards[static_cast<size_t>(image.shard)];
  }

  // Rows [first_row, first_row + count), which the caller has checked to be in [0, images()]; reads
  // the blocks that are not cached, each in one range read. Each record is sound: it lies inside a
  // shard of the manifest and has pixels. DATA_LOSS with POOL_CORRUPT: one is not, or is cut off.
  absl::StatusOr<std::vector<ImageLocation>> Locations(int64_t first_row, int64_t count) const;

 private:
  Generation(ObjectStore& objects, LocationCache& cache, const std::string& pool,
             Manifest manifest);
  absl::StatusOr<LocationBlock> Block(size_t file, int64_t number) const;
  absl::Status Check(const ImageLocation& image, const std::string& key, int64_t row) const;

  ObjectStore& objects_;
  LocationCache& cache_;
  const Manifest manifest_;
  std::vector<std::string> keys_;    // of the index files
  std::vector<int64_t> first_rows_;  // of each file, and one behind all
};

}  // namespace seer::dataservice
