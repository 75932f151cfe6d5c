// Gradients of a run of segments in one flat tensor, so that one collective reduces them. Owns the
// flat tensors; every parameter's grad is a view into one. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/nn/segment.h"

namespace seer::engine {

class FlatGradients {
 public:
  // `groups`: parameters in the order in which the backward pass finishes them. Groups are joined
  // until a bucket holds at least `bucket_bytes`. Groups without parameters are allowed.
  FlatGradients(const std::vector<std::vector<NamedTensor>>& groups, int64_t bucket_bytes);

  void Zero();  // all gradients: call before the backward pass
  size_t bucket_count() const { return buckets_.size(); }
  at::Tensor& bucket(size_t index) { return buckets_[index]; }  // [elements] float
  // The bucket that is complete once `group` is; -1: none.
  int64_t CompletedBy(size_t group) const { return completed_by_[group]; }

 private:
  std::vector<at::Tensor> buckets_;
  std::vector<int64_t> completed_by_;
};

}  // namespace seer::engine
