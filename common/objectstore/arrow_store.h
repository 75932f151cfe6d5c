// Objects in any cloud that Arrow's file systems reach. One request a call where it can be: nothing
// is tried again here (RetryingStore does), but for the parts of a large upload. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"

namespace arrow::fs {
class FileSystem;
}

namespace seer {

// Of many writers of one key by PutIfAbsent, more than one may be told that it won: Arrow offers no
// conditional write, so the key is looked for, written, and read again, and a writer whose bytes
// were replaced meanwhile is told. Two that write within one round trip may both read their own.
class ArrowStore : public ObjectStore {
 public:
  // Keys lie at `root`/key; `uri` is for messages. `streams` is for OpenWriter and large objects:
  // it may try parts again by itself.
  ArrowStore(std::shared_ptr<arrow::fs::FileSystem> file_system,
             std::shared_ptr<arrow::fs::FileSystem> streams, std::string root, std::string uri);
  ~ArrowStore() override;

  absl::StatusOr<std::string> Get(absl::string_view key) override;
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override;
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override;
  absl::Status Put(absl::string_view key, absl::string_view bytes) override;
  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) override;
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key) override;
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override;
  absl::StatusOr<std::vector<std::string>> TopFolders() override;
  absl::Status Delete(absl::string_view key) override;

 protected:
  std::string PathOf(absl::string_view key) const;  // within the file system
  std::string NameOf(absl::string_view key) const;  // for messages: URI/key
  const std::string& root() const { return root_; }

 private:
  const std::shared_ptr<arrow::fs::FileSystem> file_system_;
  const std::shared_ptr<arrow::fs::FileSystem> streams_;
  const std::string root_;
  const std::string uri_;
};

// "gs://bucket/prefix", "abfs://container@account.dfs.core.windows.net/prefix", as
// arrow::fs::FileSystemFromUri reads them. INVALID_ARGUMENT: the URI.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenArrowStore(const std::string& uri);

}  // namespace seer
