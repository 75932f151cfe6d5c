#include "engine/parallel/replicated.h"

#include <ATen/ATen.h>

namespace seer::engine {

void ReplicatedGradients::GroupDone(size_t group) {
  if (world_.size() == 1) return;
  const int64_t bucket = gradients_.CompletedBy(group);
  if (bucket >= 0)
    pending_.push_back(world_.AllReduceAsync(gradients_.bucket(static_cast<size_t>(bucket))));
}

void ReplicatedGradients::Finish() {
  for (const auto& pending : pending_) pending->Wait();
  pending_.clear();
  if (world_.size() == 1) return;
  for (size_t b = 0; b < gradients_.bucket_count(); ++b) gradients_.bucket(b).div_(world_.size());
}

}  // namespace seer::engine
