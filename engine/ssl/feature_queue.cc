#include "engine/ssl/feature_queue.h"

#include <algorithm>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace seer::engine {

FeatureQueue::FeatureQueue(int64_t views, int64_t length, int64_t dim, at::Device device)
    : length_(length),
      rows_(at::zeros({views, length, dim}, at::TensorOptions(at::kFloat).device(device))) {}

at::Tensor FeatureQueue::Share(int rank, int world_size) const {
  const int64_t begin = length_ * rank / world_size, end = length_ * (rank + 1) / world_size;
  return rows_.narrow(1, begin, end - begin);
}

void FeatureQueue::Push(const at::Tensor& features, Communicator& world) {
  const at::NoGradGuard no_grad;
  // Rank r holds a contiguous run of the step's samples: rank order is sample order.
  const at::Tensor gathered =
      world.AllGather(features.transpose(0, 1).contiguous()).transpose(0, 1);
  const int64_t fresh = std::min(gathered.size(1), length_);
  rows_ = at::cat({gathered.narrow(1, 0, fresh), rows_.narrow(1, 0, length_ - fresh)}, 1);
  filled_ = std::min(length_, filled_ + fresh);
}

void FeatureQueue::Restore(const at::Tensor& rows, int64_t filled) {
  rows_.copy_(rows);
  filled_ = filled;
}

}  // namespace seer::engine
