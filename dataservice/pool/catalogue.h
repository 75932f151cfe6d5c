// The catalogue of a generation: one row an image, Parquet on storage, columns in memory. Immutable
// once read. Parquet columns: id (sha256, 32 bytes), shard, offset, size, width, height, format,
// source, country, visibility, captured_at (timestamp[us, UTC], null: unknown),
// added_in, label (null: none).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seer::dataservice {

using ImageId = std::array<uint8_t, 32>;  // SHA-256 of the image's bytes

struct CatalogueRow {
  ImageId id{};
  int32_t shard = 0;   // index into the manifest's shards
  int64_t offset = 0;  // of the image's bytes within the shard
  int64_t size = 0;
  int32_t width = 0;  // upright, pixels
  int32_t height = 0;
  std::string format;      // "jpeg", "png", "webp"
  std::string source;      // where it was read from
  std::string country;     // ISO 3166; empty: unknown
  std::string visibility;  // "public" ...; empty: unknown
  std::optional<absl::Time> captured_at;
  int64_t added_in = 0;  // generation
  int32_t label = -1;    // -1: none
};

// One row's part that serving needs; a billion rows must fit into memory some day, so no strings.
struct ImageLocation {
  ImageId id{};
  int64_t offset = 0;
  int64_t size = 0;
  int32_t shard = 0;
  int32_t width = 0;
  int32_t height = 0;
  int32_t label = -1;
};

// The rows as the bytes of one Parquet file.
absl::StatusOr<std::string> WriteCatalogue(const std::vector<CatalogueRow>& rows);
// DATA_LOSS with POOL_CORRUPT names `where`.
absl::StatusOr<std::vector<CatalogueRow>> ReadCatalogue(std::string parquet,
                                                        const std::string& where);
// Reads only the columns it needs; appends to `locations`.
absl::Status ReadLocations(std::string parquet, const std::string& where,
                           std::vector<ImageLocation>& locations);

}  // namespace seer::dataservice
