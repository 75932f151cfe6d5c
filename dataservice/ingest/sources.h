// Where images come from: folders, single files, WebDataset tar shards, Parquet files, lists of
// URLs, and prefixes in cloud storage. They are listed at first, then read in units, which several
// threads or processes may share.
#pragma once

#include <cstddef>
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
};

// What a source is cut at: an image's file or object, a tar, some rows of a Parquet file, some URLs
// of a list.
struct SourceEntry {
  int64_t bytes = 0;   // that its images will take in a shard, about
  int64_t images = 0;  // 0: not known
};

// One source, listed. Immutable, hence thread-safe.
class ListedSource {
 public:
  virtual ~ListedSource() = default;
  virtual size_t entries() const = 0;
  virtual SourceEntry Entry(size_t index) const = 0;
  // Appends what the entry is: its name and, as far as the listing tells, its content and labels.
  virtual void AppendIdentity(size_t index, std::string& text) const = 0;
  // The images of entries [begin, end). This must outlive the result. `downloads`: at once.
  virtual absl::StatusOr<std::unique_ptr<ImageSource>> Open(size_t begin, size_t end,
                                                            int downloads) const = 0;
};

// Consecutive entries, in the order of all sources.
struct SourceUnit {
  size_t begin = 0, end = 0;
  int64_t images = 0;  // 0: not known
  std::string id;      // hash of what its entries are: another one if one of them was changed
};

// All sources of an ingest. Thread-safe.
class SourceList {
 public:
  // A source is one of
  // - a folder or "s3://bucket/prefix" (gs, abfs): searched at any depth for images by their
  //   extension (any case), .tar and .parquet; or one such file or object;
  // - a .txt file or object: "http://" or "https://" URLs, one a line; "#" begins a comment;
  // - a URL.
  // In a tar, "<key>.cls" is the label and "<key>.json" may give label, country, visibility and
  // captured_at (RFC 3339). The columns of a Parquet file stand in parquet_source.h. Tars are not
  // cut, nor are tables and lists in cloud storage.
  //
  // NOT_FOUND with SOURCE_NOT_FOUND names what is not there. FAILED_PRECONDITION with SOURCE_EMPTY:
  // a folder or prefix without such files. INVALID_ARGUMENT with NO_LABELS: no sub-folders to be
  // classes. Errors of OpenStore, parquet_source.h and url_source.h.
  static absl::StatusOr<SourceList> Create(const std::vector<std::string>& paths,
                                           const SourceOptions& options);

  // Units of at most so many bytes, or of one entry.
  std::vector<SourceUnit> Cut(int64_t unit_bytes) const;
  // The unit's images; this must outlive the result. Next() has the errors of tar_source.h and
  // parquet_source.h.
  absl::StatusOr<std::unique_ptr<ImageSource>> Open(const SourceUnit& unit, int downloads) const;

 private:
  struct Part {
    std::unique_ptr<ListedSource> source;
    size_t first = 0;  // of its entries among all
  };
  std::vector<Part> parts_;
};

// What an image of so many bytes takes in a tar: its header, and its bytes in blocks of 512.
int64_t BytesInShard(int64_t size_bytes, bool labelled);

}  // namespace seer::dataservice
