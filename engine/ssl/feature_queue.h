// Features of the last steps, one queue an assigned view, so that small batches get codes from more
// samples (arXiv:2006.09882, section 4.1). Every rank holds the whole queue in sample order, so its
// contents do not depend on the number of ranks;
// for Sinkhorn each rank takes its own share of the rows. Not thread-safe.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "engine/parallel/communicator.h"

namespace seer::engine {

class FeatureQueue {
 public:
  // `views`: those that get codes. `length`: rows a view over all ranks, at least 1.
  // `device`: where the features are.
  FeatureQueue(int64_t views, int64_t length, int64_t dim, at::Device device);

  // Used only while full, as in the reference.
  bool full() const { return filled_ == length_; }
  int64_t filled() const { return filled_; }

  // [views, rows, dim] float: this rank's share of the full queue,
  // from row length · rank / world_size on.
  at::Tensor Share(int rank, int world_size) const;

  // features: [views, samples, dim] float, this rank's samples of the step. Collective. The newest
  // rows come first; within a step, rows are in sample order.
  void Push(const at::Tensor& features, Communicator& world);

  // State for checkpoints: [views, length, dim], rows past `filled` zero.
  const at::Tensor& rows() const { return rows_; }
  void Restore(const at::Tensor& rows, int64_t filled);  // of the same shape; filled <= length

 private:
  const int64_t length_;
  int64_t filled_ = 0;
  at::Tensor rows_;
};

}  // namespace seer::engine
