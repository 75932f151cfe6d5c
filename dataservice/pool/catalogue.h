// The catalogue of a generation: one row an image, in Parquet files that other tools read too.
// Parquet columns: id (sha256, 32 bytes), shard, offset, size, width, height, format, source,
// country, visibility, captured_at (timestamp[us, UTC], null: unknown), added_in, label (null:
// none). Written and read a row group at a time, so that memory does not grow with the file's rows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/object_store.h"
#include "dataservice/pool/location_index.h"

namespace seer::dataservice {

struct CatalogueRow {
  ImageId id{};
  int32_t shard = 0;   // index into the manifest's shards
  int64_t offset = 0;  // of the image's bytes within the shard
  int64_t size = 0;
  int32_t width = 0;  // upright, pixels
  int32_t height = 0;
  std::string format;      // "jpeg", "png", ... (decode/decoder.h)
  std::string source;      // where it was read from
  std::string country;     // ISO 3166; empty: unknown
  std::string visibility;  // "public" ...; empty: unknown
  std::optional<absl::Time> captured_at;
  int64_t added_in = 0;  // generation
  int32_t label = -1;    // -1: none

  ImageLocation location() const { return {id, offset, size, shard, width, height, label}; }
};

// Makes one Parquet file. Not thread-safe.
class ParquetBuilder {
 public:
  static constexpr int64_t kRowGroupRows = int64_t{1} << 16;

  ParquetBuilder();
  ~ParquetBuilder();
  absl::Status Add(CatalogueRow row);
  // The file's bytes; once.
  absl::StatusOr<std::string> Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Calls `visit` with each row of a Parquet file; a status that is not OK ends it. Holds one row
// group. `group`: the rows of that row group alone, none if the file has fewer groups. DATA_LOSS
// with POOL_CORRUPT names the file; also the store's errors.
absl::Status ForEachRow(ObjectStore& objects, const std::string& key,
                        absl::FunctionRef<absl::Status(CatalogueRow)> visit,
                        std::optional<int> group = std::nullopt);

// What tells two rows apart, and the label.
struct RowIdentity {
  ImageId id{};
  absl::string_view source;  // valid during the call
  int32_t label = -1;
};
// As ForEachRow, but reads those columns only.
absl::Status ForEachIdentity(ObjectStore& objects, const std::string& key,
                             absl::FunctionRef<void(const RowIdentity&)> visit);

}  // namespace seer::dataservice
