// Writes a rank's snapshot as "<prefix>/rank-<r>.safetensors".
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/object_store.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/session/train_session.h"

namespace seer::engine {

// The metadata key under which a file carries its ContentDigest: a reader can tell a flipped bit
// without the coordinator's record.
inline constexpr char kContentDigestKey[] = "content_sha256";

// SHA-256 (hex) of the header as it would be encoded without kContentDigestKey, then of the data:
// names, shapes, step and every other word of the metadata are under it, not the tensors alone.
std::string ContentDigest(SafetensorsHeader header, absl::string_view data);

// The name of a rank's file within the checkpoint's folder.
std::string CheckpointFileName(int rank);

// Hashes what it writes. Durable on return; on an error nothing is left behind. Touches no torch.
// RESOURCE_EXHAUSTED with DISK_FULL, and the other errors of the store, name the file.
absl::StatusOr<CheckpointFile> WriteSnapshot(const HostSnapshot& snapshot, ObjectStore& store,
                                             const std::string& prefix);

}  // namespace seer::engine
