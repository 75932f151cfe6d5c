// The colour operations of torchvision.transforms.functional on a batch, each sample with a strength of its own.
// x: [N, 3, H, W] float in [0, 1]; factors: [N] float. Return new tensors in x's memory format.
#pragma once

#include <ATen/core/Tensor.h>

namespace seer::engine {

at::Tensor Grey(const at::Tensor& x);  // [N, 1, H, W]: 0.2989 r + 0.587 g + 0.114 b
at::Tensor AdjustBrightness(const at::Tensor& x, const at::Tensor& factors);
at::Tensor AdjustContrast(const at::Tensor& x, const at::Tensor& factors);
at::Tensor AdjustSaturation(const at::Tensor& x, const at::Tensor& factors);
at::Tensor AdjustHue(const at::Tensor& x, const at::Tensor& shifts);  // in turns, [-0.5, 0.5]
at::Tensor Solarize(const at::Tensor& x, double threshold);           // 1 - x where x >= threshold

// Separable Gaussian, sigma in pixels a sample, cut off at `radius` pixels (the same for all batches, so that a sample's
// pixels do not depend on its neighbours); the border pixel is repeated.
at::Tensor GaussianBlur(const at::Tensor& x, const at::Tensor& sigmas, int64_t radius);

}  // namespace seer::engine
