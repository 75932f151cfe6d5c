// Objects as files below a root folder: written without a name (where the file system cannot, under
// a temporary one), fsynced, put into their place. Thread-safe, also between processes.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"

namespace seer {

// Makes the root if it is not there.
// UNAVAILABLE or PERMISSION_DENIED: it cannot be made or written.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenLocalStore(const std::string& root);

// "file:///path" (or a plain path) -> store.
// INVALID_ARGUMENT: a scheme that this build does not know.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenStore(const std::string& uri);

}  // namespace seer
