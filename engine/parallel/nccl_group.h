// The one place that makes groups of NCCL; a build without GPUs has another source for it.
#pragma once

#include <chrono>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace seer::engine {

struct NcclGroupOptions {
  c10::intrusive_ptr<c10d::Store> store;  // of this group alone
  int rank = 0, size = 1;
  at::Device device = at::kCPU;  // a GPU, another for each rank of a machine
  std::chrono::milliseconds timeout{};
};

// Throws std::invalid_argument: NCCL is not for tensors of `device`, or not in this build.
void CheckNccl(at::Device device);

// A communicator with streams of its own. Collective: returns once all ranks of the group are in
// it. A collective that is not done in `timeout` ends the process: nothing can be saved of it.
// Throws if the group cannot be made: no GPU, or a build without GPUs.
c10::intrusive_ptr<c10d::Backend> MakeNcclGroup(const NcclGroupOptions& options);

}  // namespace seer::engine
