// What a TrainConfig must satisfy before anything is built,
// and what a batch must look like under it. No torch.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "engine/session/batch.h"
#include "engine/session/config.h"

namespace seer::engine {

// INVALID_ARGUMENT names the field. The trunk's parameters are checked when it is built.
absl::Status CheckConfig(const TrainConfig& config, const RankConfig& rank);

// INVALID_ARGUMENT: another step than `step`,
// or other shapes than the configuration's for one of `world_size` ranks.
absl::Status CheckBatch(const TrainConfig& config, int world_size, int64_t step,
                        const Batch& batch);

// The part that evaluation needs as well.
absl::Status CheckPhotometry(const PhotometryConfig& photometry);

// The crops of one batch are as long as their shapes say;
// labels and ids, where given, one a sample.
absl::Status CheckCrops(const Batch& batch);

int TotalViews(const TrainConfig& config);  // of one image, over all resolutions

// SHA-256 (hex) of everything in the configuration that the numbers of a run depend on; ranks,
// threads and memory do not.
std::string ConfigDigest(const TrainConfig& config);

}  // namespace seer::engine
