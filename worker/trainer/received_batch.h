// What reads batches makes of them: the engine's. Pure.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/session/batch.h"
#include "seer/v1/batches.pb.h"

namespace seer::worker {

// `pixels`: of the message's crops, which have shapes, one after the other.
engine::Batch ToBatch(const v1::BatchMessage& message,
                      const std::shared_ptr<const uint8_t>& pixels);

}  // namespace seer::worker
