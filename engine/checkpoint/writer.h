// Writes a rank's snapshot as "<prefix>/rank-<r>.safetensors".
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/object_store.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/session/train_session.h"

namespace seer::engine {

// Hashes what it writes. Durable on return; on an error nothing is left behind. Touches no torch.
// RESOURCE_EXHAUSTED with DISK_FULL, and the other errors of the store, name the file.
absl::StatusOr<CheckpointFile> WriteSnapshot(const HostSnapshot& snapshot, ObjectStore& store,
                                             const std::string& prefix);

}  // namespace seer::engine
