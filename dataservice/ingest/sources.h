// Where images come from: folders, single files, WebDataset tar shards. Reads one after the other.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seer::dataservice {

struct SourceImage {
  std::string source;  // a path, or "shard.tar#member"; the image's identity over repeated ingests
  std::string bytes;   // at most max_bytes + 1
  int32_t label = -1;
  std::string country;  // empty: unknown
  std::string visibility;
  std::optional<absl::Time> captured_at;
};

struct SourceOptions {
  bool labels_from_folders = false;  // sub-folders are classes, in the order of their names
  int64_t max_bytes = int64_t{256} << 20;
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // nullopt at the end. Files are read in the order of their names,
  // shards in the order of their members.
  virtual absl::StatusOr<std::optional<SourceImage>> Next() = 0;
  virtual int64_t total() const = 0;  // images in all, 0: not known before they are read
};

// Folders are searched for .jpg, .jpeg, .png, .webp (any case) and .tar. NOT_FOUND with
// SOURCE_NOT_FOUND names the path. FAILED_PRECONDITION with SOURCE_EMPTY: a folder without such
// files. In a tar, "<key>.cls" is the label and
// "<key>.json" may give label, country, visibility and captured_at (RFC 3339).
absl::StatusOr<std::unique_ptr<ImageSource>> OpenSources(const std::vector<std::string>& paths,
                                                         const SourceOptions& options);

}  // namespace seer::dataservice
