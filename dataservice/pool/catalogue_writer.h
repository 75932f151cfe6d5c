// Writes rows into the catalogue and index files of a generation that is not committed yet: a pair
// of files for each run of rows. Files are named by place and content, so that of two writers of
// one generation neither changes what the other wrote. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/manifest.h"

namespace seer::dataservice {

class CatalogueWriter {
 public:
  static constexpr int64_t kFileRows = int64_t{1} << 20;

  // `first_file`: place of the first file among the generation's. `objects` must outlive this.
  CatalogueWriter(ObjectStore& objects, std::string pool, int64_t generation, size_t first_file,
                  int64_t file_rows = kFileRows)
      : objects_(objects),
        pool_(std::move(pool)),
        generation_(generation),
        file_rows_(file_rows),
        next_file_(first_file) {}

  // Also the store's errors, RESOURCE_EXHAUSTED with DISK_FULL.
  absl::Status Add(CatalogueRow row);
  // Writes what is left and gives all files, in the order of their rows; once.
  absl::StatusOr<std::vector<CatalogueFile>> Finish();

 private:
  absl::Status Flush();

  ObjectStore& objects_;
  const std::string pool_;
  const int64_t generation_;
  const int64_t file_rows_;
  size_t next_file_;
  std::optional<ParquetBuilder> parquet_;
  std::string index_;  // of the rows in parquet_
  std::vector<CatalogueFile> files_;
};

}  // namespace seer::dataservice
