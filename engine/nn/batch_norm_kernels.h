// Batch normalisation in training, fused with what follows it (residual sum, ReLU), in
// as few passes over memory as there can be: statistics read x once; the output is written in one
// pass; the gradient takes two. Inputs are float, bfloat16 or half; sums are float within a chunk
// of rows and double over chunks. Chunks depend on the shape alone, so no number depends on the
// threads. Tensors may be on the CPU or on a GPU, all of one call on the same; on a GPU nothing
// waits for the results.
//
// "Rows" are pixels: x is [N, C] contiguous or [N, C, H, W] channels last, which both lie in memory
// as [rows, C]. All tensors given to one call have one type and one layout; vectors are [C] float.
#pragma once

#include <ATen/core/Tensor.h>

namespace seer::engine {

struct ChannelMoments {
  at::Tensor mean, variance;  // [C] float; the variance biased
};
ChannelMoments ComputeMoments(const at::Tensor& x);

// What ranks add up to have the moments of all their rows: [2 C + 1] double, sums of x and x² and
// the count, from the moments of `count` rows ([] double). In double these raw moments of float
// numbers are exact enough: the cancellation is of 53 bits against 24.
at::Tensor PackMoments(const ChannelMoments& moments, const at::Tensor& count);
ChannelMoments UnpackMoments(const at::Tensor& packed);  // the last number stays the count

// What normalises: scale = weight · invstd, shift = bias − mean · scale, and
// invstd = 1 / √(variance + epsilon). mean, variance, weight, bias: [C] float.
struct NormCoefficients {
  at::Tensor scale, shift;  // [C] float
  at::Tensor invstd;        // [C] double
};
NormCoefficients ForwardCoefficients(const ChannelMoments& moments, const at::Tensor& weight,
                                     const at::Tensor& bias, double epsilon);

// y = x · scale + shift, then + residual if that is defined, then relu if `relu`.
at::Tensor ScaleShift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                      const at::Tensor& residual, bool relu);

// Where the gradient passes a relu that followed: nowhere else than where the output was above 0.
// One of both: `y`, the output; or what it was computed of, for an output without a residual, which
// reads less memory. Nothing: no relu followed.
struct NormRelu {
  at::Tensor y;
  at::Tensor scale, shift;  // [C] float, those of ScaleShift
};

// The gradient g: dy where the relu passes it and 0 elsewhere.
struct GradientSums {
  at::Tensor sums;      // [2 C] double: sum g · (x − mean), sum g
  at::Tensor gradient;  // g, if `relu` has the output; else dy itself
};
GradientSums SumGradients(const at::Tensor& dy, const NormRelu& relu, const at::Tensor& x,
                          const at::Tensor& mean);

// Of weight and bias, out of the sums over one rank's own rows.
struct NormParameterGradients {
  at::Tensor weight, bias;  // [C] float
};
NormParameterGradients ParameterGradients(const at::Tensor& sums, const at::Tensor& invstd);

// The gradient through the statistics as CombineGradients takes it:
// dx = weight · invstd · (g − mean(g) − x̂ · mean(g · x̂)) = a · g + b · (x − mean) + c.
// sums: those of SumGradients over all that the statistics are of; count: [] double, rows of those.
struct GradientCoefficients {
  at::Tensor a, b, c;  // [C] float
};
GradientCoefficients BackwardCoefficients(const at::Tensor& sums, const at::Tensor& count,
                                          const at::Tensor& weight, const at::Tensor& invstd);

// out = g · a + (x − mean) · b + c, with g of `gradient` and of the scale and shift that the sums
// were made with, if they were. `out` lies as `gradient` does and may be it.
void CombineGradients(const at::Tensor& gradient, const NormRelu& relu, const at::Tensor& x,
                      const at::Tensor& mean, const GradientCoefficients& coefficients,
                      const at::Tensor& out);

// The same on one kind of device; batch_norm_cuda.cc has those of GPUs.
struct NormKernels {
  decltype(&seer::engine::ComputeMoments) compute_moments;
  decltype(&seer::engine::PackMoments) pack_moments;
  decltype(&seer::engine::UnpackMoments) unpack_moments;
  decltype(&seer::engine::ForwardCoefficients) forward_coefficients;
  decltype(&seer::engine::ScaleShift) scale_shift;
  decltype(&seer::engine::SumGradients) sum_gradients;
  decltype(&seer::engine::ParameterGradients) parameter_gradients;
  decltype(&seer::engine::BackwardCoefficients) backward_coefficients;
  decltype(&seer::engine::CombineGradients) combine_gradients;
};
// A build without GPUs has none: a broken invariant.
const NormKernels& CudaNormKernels();

}  // namespace seer::engine
