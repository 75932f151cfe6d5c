// Decorator that fails on demand: full disk, errors, bytes torn or flipped.
// Thread-safe; `inner` must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/base/object_store.h"

namespace seer {

struct Faults {
  int64_t disk_bytes = -1;  // writes beyond so many bytes in all fail with DISK_FULL; -1: never
  // Called with operation ("get", "put", "append", "commit", "list", "delete") and key;
  // a non-OK status is returned instead.
  std::function<absl::Status(absl::string_view operation, absl::string_view key)> fail;
  // Called on bytes read; may change them.
  std::function<void(absl::string_view key, std::string& bytes)> corrupt;
};

std::unique_ptr<ObjectStore> MakeFaultyStore(ObjectStore& inner, Faults faults);

}  // namespace seer
