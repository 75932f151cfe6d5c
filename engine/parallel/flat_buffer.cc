#include "engine/parallel/flat_buffer.h"

#include <ATen/ATen.h>

#include "common/base/check.h"

namespace seer::engine {

FlatGradients::FlatGradients(const std::vector<std::vector<NamedTensor>>& groups,
                             int64_t bucket_bytes)
    : completed_by_(groups.size(), -1) {
  std::vector<at::Tensor> members;
  int64_t elements = 0;
  const auto close = [&](size_t last_group) {
    if (members.empty()) return;
    at::Tensor flat = at::zeros({elements}, members.front().options().requires_grad(false));
    int64_t offset = 0;
    for (at::Tensor& parameter : members) {
      // In the parameter's own order, so that neither autograd nor the optimiser ever permutes.
      SEER_CHECK(parameter.is_non_overlapping_and_dense()) << "a parameter with gaps in memory";
      parameter.mutable_grad() = flat.as_strided(parameter.sizes(), parameter.strides(), offset);
      offset += parameter.numel();
    }
    completed_by_[last_group] = static_cast<int64_t>(buckets_.size());
    buckets_.push_back(std::move(flat));
    members.clear();
    elements = 0;
  };
  size_t last_filled = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const NamedTensor& parameter : groups[g]) {
      members.push_back(parameter.tensor);
      elements += parameter.tensor.numel();
      last_filled = g;
    }
    if (elements * static_cast<int64_t>(sizeof(float)) >= bucket_bytes) close(g);
  }
  close(last_filled);
}

void FlatGradients::Zero() {
  for (at::Tensor& bucket : buckets_) bucket.zero_();
}

}  // namespace seer::engine
