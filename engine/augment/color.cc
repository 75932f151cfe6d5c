#include "engine/augment/color.h"

#include <ATen/ATen.h>

namespace seer::engine {
namespace {

at::Tensor PerSample(const at::Tensor& values) { return values.view({-1, 1, 1, 1}); }

// clamp(factor · x + (1 − factor) · other)
at::Tensor Blend(const at::Tensor& x, const at::Tensor& other, const at::Tensor& factors) {
  return at::lerp(other.expand_as(x), x, PerSample(factors)).clamp_(0, 1);
}

}  // namespace

at::Tensor Grey(const at::Tensor& x) {
  return x.narrow(1, 0, 1) * 0.2989 + x.narrow(1, 1, 1) * 0.587 + x.narrow(1, 2, 1) * 0.114;
}

at::Tensor AdjustBrightness(const at::Tensor& x, const at::Tensor& factors) {
  return (x * PerSample(factors)).clamp_(0, 1);
}

at::Tensor AdjustContrast(const at::Tensor& x, const at::Tensor& factors) {
  return Blend(x, Grey(x).mean({1, 2, 3}, /*keepdim=*/true), factors);
}

at::Tensor AdjustSaturation(const at::Tensor& x, const at::Tensor& factors) {
  return Blend(x, Grey(x), factors);
}

at::Tensor AdjustHue(const at::Tensor& x, const at::Tensor& shifts) {
  const at::Tensor top = x.amax({1}, true), bottom = x.amin({1}, true);
  const at::Tensor chroma = top - bottom;
  const at::Tensor r = x.narrow(1, 0, 1), g = x.narrow(1, 1, 1), b = x.narrow(1, 2, 1);
  const at::Tensor divisor = at::where(chroma == 0, at::ones_like(chroma), chroma);
  const at::Tensor rc = (top - r) / divisor, gc = (top - g) / divisor, bc = (top - b) / divisor;
  const at::Tensor sector =
      at::where(top == r, bc - gc, at::where(top == g, rc - bc + 2.0, gc - rc + 4.0));
  const at::Tensor hue = at::remainder(sector / 6.0 + PerSample(shifts), 1.0);
  // Back without a table of six cases: channel n is
  // top − chroma · clamp(min(k, 4 − k), 0, 1) with k = (n + 6 h) mod 6.
  at::Tensor out = at::empty_like(x);
  const double offsets[] = {5, 3, 1};
  for (int64_t channel = 0; channel < 3; ++channel) {
    const at::Tensor k = at::remainder(hue * 6.0 + offsets[channel], 6.0);
    out.narrow(1, channel, 1).copy_(top - chroma * at::minimum(k, 4.0 - k).clamp_(0, 1));
  }
  return out;
}

at::Tensor Solarize(const at::Tensor& x, double threshold) {
  return at::where(x >= threshold, 1.0 - x, x);
}

at::Tensor GaussianBlur(const at::Tensor& x, const at::Tensor& sigmas, int64_t radius) {
  const at::Tensor positions = at::arange(-radius, radius + 1, x.options());
  // [N, taps]
  at::Tensor weights = at::exp(positions.square().div(-2.0) / sigmas.square().unsqueeze(1));
  weights = weights / weights.sum(1, /*keepdim=*/true);
  const auto along = [&](const at::Tensor& image, int64_t dim) {
    const int64_t size = image.size(dim);
    const at::Tensor index =
        at::arange(-radius, size + radius, x.options().dtype(at::kLong)).clamp_(0, size - 1);
    const at::Tensor padded = image.index_select(dim, index);
    at::Tensor sum = at::zeros_like(image);
    for (int64_t tap = 0; tap < weights.size(1); ++tap) {
      sum.addcmul_(padded.narrow(dim, tap, size), PerSample(weights.select(1, tap)));
    }
    return sum;
  };
  return along(along(x, 2), 3);
}

}  // namespace seer::engine
