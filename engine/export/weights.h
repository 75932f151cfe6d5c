// Writes the network of a checkpoint as one safetensors file under another library's names.
// No torch.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"
#include "engine/export/names.h"

namespace seer::engine {

struct ExportOptions {
  WeightNames names = WeightNames::kTorchvision;
  // The exponential mean of the weights in place of the weights; running statistics have no mean.
  bool mean = false;
};

struct ExportedWeights {
  int64_t tensors = 0;
  int64_t size_bytes = 0;  // of the file
  std::string sha256;      // hex, of the file
};

// Reads "<prefix>/rank-*.safetensors" and puts parameters and running statistics (float32, as
// trained) at `key` of `out`, durable on return, replacing what was there: of the trunk, and of
// head and prototypes where the library has names for them. Every norm layer also gets the
// num_batches_tracked that PyTorch's loaders ask for: the number of steps.
// NOT_FOUND with CHECKPOINT_NOT_FOUND: no such file. DATA_LOSS with CHECKPOINT_CORRUPT: a file is
// damaged or missing. FAILED_PRECONDITION with CHECKPOINT_MISMATCH: no trunk is in it, or one that
// the library has no name or no class for, or no mean that was asked for.
absl::StatusOr<ExportedWeights> ExportWeights(ObjectStore& store, const std::string& prefix,
                                              const ExportOptions& options, ObjectStore& out,
                                              const std::string& key);

}  // namespace seer::engine
