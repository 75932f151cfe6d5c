// Objects as files below a root folder: written without a name (where the file system cannot, under
// a temporary one), fsynced, put into their place. Thread-safe, also between processes.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"

namespace seer {

enum class StoreUse {
  kReadAndWrite,  // the root is made if it is not there
  kRead,          // the root must be there; writes may fail
};

// UNAVAILABLE or PERMISSION_DENIED: the root cannot be made or used. NOT_FOUND with
// OBJECT_NOT_FOUND: it is not there (kRead).
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenLocalStore(const std::string& root,
                                                            StoreUse use = StoreUse::kReadAndWrite);

}  // namespace seer
