// In place of cuda.cc in a build without GPUs.
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "engine/device/open_cuda.h"

namespace seer::engine {

absl::StatusOr<std::unique_ptr<Device>> OpenCuda(int index) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("the device is cuda:", index,
                            ", but this program was built without GPUs"))
      .Field("device")
      .Hint(
          "build it with the preset cuda (docs/operations.md), or start the worker with "
          "--device-kind cpu");
}

}  // namespace seer::engine
