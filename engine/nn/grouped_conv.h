// Convolutions of RegNet's blocks that have kernels of their own on some GPUs.
#pragma once

#include <optional>

#include <ATen/core/Tensor.h>

namespace seer::engine {

// The convolution of x [N, C, H, W] with weight [C, C / groups, 3, 3] float, padding 1, as
// at::conv2d with weights in x's type gives it; differentiable. The weights' gradient is float, not
// rounded to x's type on its way. Nothing if this machine has no kernels for it: they are for
// bfloat16 on Hopper GPUs and groups of 48 channels or more.
std::optional<at::Tensor> GroupedConvOnGpu(const at::Tensor& x, const at::Tensor& weight,
                                           int64_t stride, int64_t groups);

}  // namespace seer::engine
