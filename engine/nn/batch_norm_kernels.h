// Batch normalisation in training on the CPU, fused with what follows it (residual sum, ReLU), in
// as few passes over memory as there can be: statistics read x once; the output is written in one
// pass; the gradient takes two. Inputs are float or bfloat16, sums are float within a chunk of rows
// and double over chunks. Chunks depend on the shape alone, so no number depends on the threads.
//
// "Rows" are pixels: x is [N, C] contiguous or [N, C, H, W] channels last, which both lie in memory
// as [rows, C]. All tensors given to one call have one type and one layout; vectors are [C] float.
#pragma once

#include <ATen/core/Tensor.h>

namespace seer::engine {

// True: x lies as the kernels need it (CPU, float or bfloat16, rows of channels without gaps).
bool HasChannelRows(const at::Tensor& x);

struct ChannelMoments {
  at::Tensor mean, variance;  // [C] float; the variance biased
};
ChannelMoments ComputeMoments(const at::Tensor& x);

// y = x · scale + shift, then + residual if that is defined, then relu if `relu`.
at::Tensor ScaleShift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                      const at::Tensor& residual, bool relu);

struct GradientSums {
  at::Tensor sums;      // [2 C] double: sum g · (x − mean), sum g
  at::Tensor gradient;  // g = dy where y > 0 and 0 elsewhere, as dy; dy itself without a relu
};
// `y`: the output if a relu followed, undefined if none did.
GradientSums SumGradients(const at::Tensor& dy, const at::Tensor& y, const at::Tensor& x,
                          const at::Tensor& mean);

// out = g · a + (x − mean) · b + c. `out` lies as g does and may be g.
void CombineGradients(const at::Tensor& g, const at::Tensor& x, const at::Tensor& mean,
                      const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                      const at::Tensor& out);

}  // namespace seer::engine
