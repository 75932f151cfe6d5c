// Finds the rows of generations that have certain images, by reading their index files. A file that
// several generations share is read once. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "dataservice/pool/location_index.h"

namespace seer::dataservice {

using ImageIds = absl::flat_hash_set<ImageId>;

// 64 hexadecimal digits. INVALID_ARGUMENT with the field "image_ids".
absl::StatusOr<ImageId> ParseImageId(const std::string& hex);

class RowFinder {
 public:
  struct Row {
    int64_t row = 0;  // of the generation
    ImageLocation image;
  };
  // `objects` must outlive this.
  RowFinder(ObjectStore& objects, std::string pool, ImageIds ids)
      : objects_(objects), pool_(std::move(pool)), ids_(std::move(ids)) {}

  // By row; holds 16 MiB of an index at a time. DATA_LOSS with POOL_CORRUPT: a file is cut off, or
  // a row that was found points outside of its shards.
  absl::StatusOr<std::vector<Row>> Find(const Manifest& manifest);

 private:
  absl::StatusOr<std::vector<Row>> FindInFile(const std::string& key, int64_t rows);

  ObjectStore& objects_;
  const std::string pool_;
  const ImageIds ids_;
  std::map<std::string, std::vector<Row>> found_;  // by file name; rows count from the file's first
};

}  // namespace seer::dataservice
