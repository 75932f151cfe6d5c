// Data parallelism with the parameters on every rank: buckets of gradients are averaged over the
// world while the backward pass goes on. Not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "engine/parallel/communicator.h"
#include "engine/parallel/flat_buffer.h"

namespace seer::engine {

class ReplicatedGradients {
 public:
  // Both must outlive this.
  ReplicatedGradients(FlatGradients& gradients, Communicator& world)
      : gradients_(gradients), world_(world) {}

  // This rank's gradients of `group` are complete:
  // starts the reduction of a bucket that thereby is.
  void GroupDone(size_t group);
  // Waits for all reductions of the step; afterwards gradients are averages over the ranks.
  void Finish();

 private:
  FlatGradients& gradients_;
  Communicator& world_;
  std::vector<std::unique_ptr<Pending>> pending_;
};

}  // namespace seer::engine
