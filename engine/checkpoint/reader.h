// Reads a checkpoint of any world size:
// all "<prefix>/rank-*.safetensors" are seen as one set of tensors.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"
#include "engine/nn/segment.h"

namespace seer::engine {

struct LoadedCheckpoint {
  std::map<std::string, std::string> metadata;  // common to all files
  std::map<std::string, at::Tensor> tensors;    // float or int64, on the host
};

// NOT_FOUND with CHECKPOINT_NOT_FOUND: no such file. DATA_LOSS with CHECKPOINT_CORRUPT: a file is
// missing, torn, of another step than its siblings,
// or its bytes do not have the digest they were written with.
// Errors of the store pass through, with the object's key in front.
absl::StatusOr<LoadedCheckpoint> ReadCheckpoint(ObjectStore& store, const std::string& prefix);

// Copies into `state` the tensors of the same names. All is checked before the first is copied.
// FAILED_PRECONDITION with CHECKPOINT_MISMATCH names the first tensor (by name) that is absent or
// has another shape or type; with `exact` also one that `state` does not have.
absl::Status CopyInto(const LoadedCheckpoint& checkpoint, std::vector<NamedTensor>& state,
                      bool exact);

}  // namespace seer::engine
