// In place of nccl_group.cc in a build without GPUs.
#include <stdexcept>

#include "engine/parallel/nccl_group.h"

namespace seer::engine {

void CheckNccl(at::Device) {
  throw std::invalid_argument(
      "this program was built without NCCL: take the preset cuda, or set distributed.backend to "
      "gloo");
}

c10::intrusive_ptr<c10d::Backend> MakeNcclGroup(const NcclGroupOptions& options) {
  CheckNccl(options.device);
  return {};
}

}  // namespace seer::engine
