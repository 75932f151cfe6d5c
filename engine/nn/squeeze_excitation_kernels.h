// The passes over pixels of squeeze-and-excitation on GPUs. x, g: [N, C, H, W] channels last, of
// one type; vectors are [N, C] float. A build without GPUs has none: a broken invariant.
#pragma once

#include <ATen/core/Tensor.h>

namespace seer::engine {

// Over each image's pixels, the sum of x, or of g · x if `g` is defined.
at::Tensor SumPixelsOnGpu(const at::Tensor& x, const at::Tensor& g);
// x · gate, + shift if that is defined, as x.
at::Tensor ScalePixelsOnGpu(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& shift);

}  // namespace seer::engine
