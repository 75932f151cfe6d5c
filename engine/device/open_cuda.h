// What a build with GPUs, or one without, gives device.cc.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/device/device.h"

namespace seer::engine {

// INVALID_ARGUMENT: there is no such GPU, or the build has none.
absl::StatusOr<std::unique_ptr<Device>> OpenCuda(int index);

}  // namespace seer::engine
