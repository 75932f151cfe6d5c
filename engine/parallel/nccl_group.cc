#include "engine/parallel/nccl_group.h"

#include <stdexcept>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

namespace seer::engine {

void CheckNccl(at::Device device) {
  if (!device.is_cuda()) throw std::invalid_argument("NCCL needs a GPU for every rank");
}

c10::intrusive_ptr<c10d::Backend> MakeNcclGroup(const NcclGroupOptions& options) {
  // A collective is waited for by the computation that is next in line: it goes first.
  auto nccl = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
  nccl->timeout = options.timeout;
  auto group =
      c10::make_intrusive<c10d::ProcessGroupNCCL>(options.store, options.rank, options.size, nccl);
  group->setBoundDeviceId(options.device);
  group->eagerConnectSingleDevice(options.device);
  return group;
}

}  // namespace seer::engine
