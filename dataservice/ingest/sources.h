// Where images come from: folders, single files, WebDataset tar shards, Parquet files, lists of
// URLs, and prefixes in cloud storage. Sources are read one after the other.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seer::dataservice {

struct SourceImage {
  // A path, a URL, "shard.tar#member" or "rows.parquet#row"; the image's identity over repeated
  // ingests.
  std::string source;
  std::string bytes;  // at most max_bytes + 1
  // Not OK: this image alone could not be had, and belongs in quarantine with this reason.
  absl::Status failure;
  int32_t label = -1;
  std::string country;  // empty: unknown
  std::string visibility;
  std::optional<absl::Time> captured_at;
};

struct SourceOptions {
  bool labels_from_folders = false;  // sub-folders are classes, in the order of their names
  int64_t max_bytes = int64_t{256} << 20;
  int downloads = 16;                              // URLs and objects read at once
  int64_t max_download_bytes = int64_t{64} << 20;  // of one URL
};

// Not thread-safe.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // nullopt at the end. Files are read in the order of their names, shards and tables in the order
  // of their members.
  virtual absl::StatusOr<std::optional<SourceImage>> Next() = 0;
  virtual int64_t total() const = 0;  // images in all, 0: not known before they are read
};

// A source is one of
// - a folder or "s3://bucket/prefix" (gs, abfs): searched at any depth for images by their
//   extension (any case), .tar and .parquet; or one such file or object;
// - a .txt file or object: "http://" or "https://" URLs, one a line; "#" begins a comment;
// - a URL.
// In a tar, "<key>.cls" is the label and "<key>.json" may give label, country, visibility and
// captured_at (RFC 3339). The columns of a Parquet file stand in parquet_source.h.
//
// NOT_FOUND with SOURCE_NOT_FOUND names what is not there. FAILED_PRECONDITION with SOURCE_EMPTY: a
// folder or prefix without such files. INVALID_ARGUMENT with NO_LABELS: no sub-folders to be
// classes. Errors of OpenStore. Next() has the errors of tar_source.h and parquet_source.h.
absl::StatusOr<std::unique_ptr<ImageSource>> OpenSources(const std::vector<std::string>& paths,
                                                         const SourceOptions& options);

}  // namespace seer::dataservice
