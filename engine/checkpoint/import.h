// Weights from one safetensors file that another library, or `seer checkpoint export`, wrote.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/object_store.h"
#include "engine/checkpoint/reader.h"
#include "engine/export/names.h"

namespace seer::engine {

// Restores those of `state` that are of the network, by the engine's names, from the file `key`;
// others are passed over. Several may have the same name. `names`: what the file calls them;
// nullopt: the library under whose names most are found. The whole trunk must be there; of the
// projection head all or nothing, and so of the prototypes; what the file lacks stays as it is.
// Floating-point types are converted; tensors without a place (a classifier, num_batches_tracked)
// are passed over. All is checked before the first of them changes. Returns a text for the log.
// NOT_FOUND with OBJECT_NOT_FOUND: no such file. INVALID_ARGUMENT: it is no safetensors file (for a
// PyTorch pickle the hint says how to convert it), or, with WEIGHTS_MISMATCH, the first tensor that
// is absent or has another shape or type.
absl::StatusOr<std::string> ImportWeights(ObjectStore& store, const std::string& key,
                                          std::optional<WeightNames> names,
                                          const std::vector<StateTensor>& state);

}  // namespace seer::engine
