// The colour operations of torchvision.transforms.functional on a batch, each sample with a
// strength of its own. x: [N, 3, H, W] float in [0, 1]; factors, shifts, sigmas: [N] float.
// Results are new tensors of x's shape, type and memory format. Within 1e-4 of torchvision's on
// float images, but for the border of the blur; beside PIL's 8-bit results half a level off on
// average (hue 1, blur near the border 1), see tests/parity.
#pragma once

#include <ATen/core/Tensor.h>

namespace seer::engine {

// [N, 1, H, W]: 0.2989 r + 0.587 g + 0.114 b.
at::Tensor Grey(const at::Tensor& x);

// clamp(factor · x + (1 − factor) · other, 0, 1), `other` being black for brightness, the image's
// mean grey for contrast and its own grey for saturation. factors: 0 or more; 1 changes nothing.
at::Tensor AdjustBrightness(const at::Tensor& x, const at::Tensor& factors);
at::Tensor AdjustContrast(const at::Tensor& x, const at::Tensor& factors);
at::Tensor AdjustSaturation(const at::Tensor& x, const at::Tensor& factors);

// Through HSV and back. shifts: in turns, [-0.5, 0.5]; 0 changes nothing.
at::Tensor AdjustHue(const at::Tensor& x, const at::Tensor& shifts);
at::Tensor Solarize(const at::Tensor& x, double threshold);  // 1 - x where x >= threshold

// Separable Gaussian, sigma in pixels a sample, cut off at `radius` pixels (the same for all
// batches, so that a sample's pixels do not depend on its neighbours).
// The border pixel is repeated.
at::Tensor GaussianBlur(const at::Tensor& x, const at::Tensor& sigmas, int64_t radius);

}  // namespace seer::engine
