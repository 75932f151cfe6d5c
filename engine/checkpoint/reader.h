// Reads a checkpoint of any world size:
// all "<prefix>/rank-*.safetensors" are seen as one set of tensors.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"
#include "engine/checkpoint/files.h"
#include "engine/checkpoint/state_tensor.h"

namespace seer::engine {

// Runs `body` with the elements of `type` in `bytes`, in row-major order, as a tensor that lives as
// long as the call.
void WithTensor(absl::string_view bytes, at::ScalarType type, const std::vector<int64_t>& sizes,
                const std::function<void(const at::Tensor&)>& body);

// Sees the metadata before the first tensor changes; its error is RestoreCheckpoint's.
using MetadataCheck = std::function<absl::Status(const std::map<std::string, std::string>&)>;

// Restores `state` from the checkpoint, hashing and copying each piece of a mapped file once, in
// parallel: beside the state no copy is made in memory, unless the store cannot map (then one file
// at a time). Several of `state` may have the same name. Names, shapes, types and metadata are
// checked before the first tensor changes; the digests are compared while they are copied: after
// DATA_LOSS the state holds parts of a damaged checkpoint and must not be used.
// Errors of CheckpointFiles::Open and Read. FAILED_PRECONDITION with CHECKPOINT_MISMATCH names the
// first tensor (by name) that is absent or has another shape or type; with `exact` also one that
// `state` does not have.
absl::Status RestoreCheckpoint(ObjectStore& store, const std::string& prefix,
                               const std::vector<StateTensor>& state, bool exact,
                               const MetadataCheck& check = {});

// For tools: the whole checkpoint in memory.
struct LoadedCheckpoint {
  std::map<std::string, std::string> metadata;  // common to all files
  std::map<std::string, at::Tensor> tensors;    // float or int64, on the host
};
// Errors of CheckpointFiles::Open and Read.
absl::StatusOr<LoadedCheckpoint> ReadCheckpoint(ObjectStore& store, const std::string& prefix);

}  // namespace seer::engine
