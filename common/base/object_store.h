// Objects by key ("shards/ab12.tar"), as pools and checkpoints are kept. Keys are '/'-separated,
// without "..", relative to the store's root. Thread-safe. Implementations: common/objectstore
// (local directory, memory, faulty decorator).
#pragma once

#include "absl/strings/string_view.h"

#include <cstdint>
#include <memory>
#include <string>

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace seer {

// An object being written: invisible under its key until Commit, which makes it durable
// (fsync of file and directory) and visible at once. Destroyed without Commit, nothing is left.
// Not thread-safe.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;
  // RESOURCE_EXHAUSTED with reason DISK_FULL: no space left.
  virtual absl::Status Append(absl::string_view bytes) = 0;
  virtual absl::Status Commit() = 0;
};

// The bytes of an object as they were when it was opened, also if it is replaced or deleted
// meanwhile. Thread-safe.
class ObjectView {
 public:
  virtual ~ObjectView() = default;
  virtual absl::string_view bytes() const = 0;  // lives as long as the view
  // A hint that these bytes are read next, all of them: may wait until they are in memory.
  virtual void Prefetch(int64_t /*offset*/, int64_t /*length*/) const {}
};

struct ObjectInfo {
  std::string key;
  int64_t size_bytes = 0;
  // When it was last written, by the store's clock; List alone says it, the infinite future where
  // the store does not know.
  absl::Time modified = absl::InfiniteFuture();
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // The whole object. NOT_FOUND with reason OBJECT_NOT_FOUND.
  virtual absl::StatusOr<std::string> Get(absl::string_view key) = 0;
  // `length` bytes from `offset`, fewer only at the object's end.
  virtual absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                               int64_t length) = 0;
  // The whole object without a copy where the store can map it; by default what Get reads. A mapped
  // file that is cut short by others, or whose disk fails, ends the process (SIGBUS).
  virtual absl::StatusOr<std::unique_ptr<ObjectView>> View(absl::string_view key);
  virtual absl::StatusOr<ObjectInfo> Stat(absl::string_view key) = 0;
  // Replaces atomically: a reader sees the old bytes or the new, whole; durable on return.
  virtual absl::Status Put(absl::string_view key, absl::string_view bytes) = 0;
  // Like Put, but ALREADY_EXISTS if the key is there: of two writers one wins.
  virtual absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) = 0;
  virtual absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key) = 0;
  // Every object whose key starts with `prefix`, sorted by key.
  virtual absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) = 0;
  // The first parts of all keys that have more than one, ascending. By default from List(""); where
  // the store has folders it takes no longer than there are of them.
  virtual absl::StatusOr<std::vector<std::string>> TopFolders();
  // OK also if the key is absent.
  virtual absl::Status Delete(absl::string_view key) = 0;
};

}  // namespace seer
