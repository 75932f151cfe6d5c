// The files of a checkpoint as named, digested byte ranges: "<prefix>/rank-*.safetensors", written
// by any world size, seen as one set of tensors. No torch, so that tools can use it alone.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/object_store.h"
#include "engine/checkpoint/safetensors.h"

namespace seer::engine {

// The metadata key under which a file carries its ContentDigest: a reader can tell a flipped bit
// without the coordinator's record.
inline constexpr char kContentDigestKey[] = "content_sha256";

// SHA-256 (hex) of the header as it would be encoded without kContentDigestKey, then of the data:
// names, shapes, step and every other word of the metadata are under it, not the tensors alone.
std::string ContentDigest(SafetensorsHeader header, absl::string_view data);

// The name of a rank's file within the checkpoint's folder.
std::string CheckpointFileName(int rank);

// DATA_LOSS with CHECKPOINT_CORRUPT: what is wrong with the checkpoint, or the file, `name`.
absl::Status CorruptCheckpoint(absl::string_view name, absl::string_view what);

// Called once a tensor (F32 or I64), with its bytes, which live as long as the call.
using TensorVisitor = std::function<absl::Status(const SafetensorsEntry&, absl::string_view bytes)>;

// Reads the files one after the other, verifies each, then visits its tensors. Returns the metadata
// that is common to all files. The first error of a visit ends the walk.
// NOT_FOUND with CHECKPOINT_NOT_FOUND: no such file. DATA_LOSS with CHECKPOINT_CORRUPT: a file is
// missing, torn, of another step than its siblings,
// or its bytes do not have the digest they were written with.
// Errors of the store pass through, with the object's key in front.
absl::StatusOr<std::map<std::string, std::string>> VisitCheckpoint(ObjectStore& store,
                                                                   const std::string& prefix,
                                                                   const TensorVisitor& visit);

}  // namespace seer::engine
