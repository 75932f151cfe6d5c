// JobSpec (protobuf, validated, with defaults) and Assign -> the engine's plain structs. The only
// place. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/session/config.h"
#include "seer/internal/v1/agent.pb.h"
#include "seer/v1/batches.pb.h"
#include "seer/v1/job_spec.pb.h"

namespace seer::worker {

// Of a gang of `world_size` ranks. NOT_FOUND with INVALID_SPEC: the trunk's preset is unknown.
absl::StatusOr<engine::TrainConfig> ToTrainConfig(const v1::JobSpec& spec, int world_size);
engine::RankConfig ToRankConfig(const v1::JobSpec& spec, const internal::v1::Assign& assign);
// The stream of the rank's batches from `first_step` to the job's end.
v1::StreamBatchesRequest ToStreamRequest(const v1::JobSpec& spec,
                                         const internal::v1::Assign& assign, int64_t first_step);

// The store's key of what lies at `uri` below the storage `root`:
// "file:///root/job_x/checkpoints/40" -> "job_x/checkpoints/40".
std::string KeyBelow(absl::string_view uri, absl::string_view root);

}  // namespace seer::worker
