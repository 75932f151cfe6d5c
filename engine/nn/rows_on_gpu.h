// Tensors of a GPU as kernels over rows of channels take them.
#pragma once

#include <algorithm>
#include <initializer_list>

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "engine/nn/cuda_rows.h"

namespace seer::engine {

// Of one call: on x's device and its current stream. x: [N, C] or [N, C, H, W] channels last.
class RowsOnGpu {
 public:
  // `others`: further tensors that the kernel moves in packs; undefined ones do not count.
  RowsOnGpu(const at::Tensor& x, std::initializer_list<at::Tensor> others) : guard_(x.device()) {
    rows_.channels = x.size(1);
    rows_.rows = x.numel() / std::max<int64_t>(rows_.channels, 1);
    rows_.type = x.scalar_type() == at::kFloat  ? cuda::NumberType::kFloat
                 : x.scalar_type() == at::kHalf ? cuda::NumberType::kFloat16
                                                : cuda::NumberType::kBfloat16;
    const auto aligned = [](const at::Tensor& t) {
      return !t.defined() || reinterpret_cast<uintptr_t>(t.const_data_ptr()) % kPackBytes == 0;
    };
    rows_.packed = rows_.channels * x.element_size() % kPackBytes == 0 && aligned(x) &&
                   std::all_of(others.begin(), others.end(), aligned);
    rows_.stream = c10::cuda::getCurrentCUDAStream().stream();
  }
  const cuda::ChannelRows& rows() const { return rows_; }
  bool empty() const { return rows_.rows * rows_.channels == 0; }

 private:
  static constexpr int64_t kPackBytes = 16;
  const c10::cuda::CUDAGuard guard_;
  cuda::ChannelRows rows_;
};

}  // namespace seer::engine
