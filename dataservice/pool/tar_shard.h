// WebDataset tar shards: written once, named by the hash of their bytes, never changed.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace seer::dataservice {

// Builds one shard in memory (ustar through libarchive).
class TarShardBuilder {
 public:
  TarShardBuilder();
  ~TarShardBuilder();

  // Adds "<name>" and returns the offset of its bytes within the shard.
  absl::StatusOr<int64_t> Add(const std::string& name, absl::string_view bytes);
  int64_t size_bytes() const;
  // The whole archive; once.
  absl::StatusOr<std::string> Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads members of a tar file in order (ustar, pax and GNU names).
class TarReader {
 public:
  // NOT_FOUND with SOURCE_NOT_FOUND. DATA_LOSS with POOL_CORRUPT: not a tar.
  static absl::StatusOr<std::unique_ptr<TarReader>> Open(const std::string& path);
  ~TarReader();

  struct Member {
    std::string name;
    std::string bytes;
  };
  // False at the end. A member above `max_bytes` comes with its first max_bytes + 1 only.
  // DATA_LOSS: the archive is torn.
  absl::StatusOr<bool> Next(Member& member, int64_t max_bytes);

 private:
  TarReader();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace seer::dataservice
