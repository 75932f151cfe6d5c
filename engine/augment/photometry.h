// Colour jitter in random order, greyscale, Gaussian blur, solarise and normalisation of one
// resolution's crops, batched on the device. Operations and their order: SimCLR and SwAV
// (arXiv:2006.09882, appendix A); each operation as torchvision's. Every random number is
// Philox(seed, kPhotometry, sample index, crop index):
// which rank or batch a crop is in does not matter. Stateless.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/session/config.h"

namespace seer::engine {

// What is done to one crop. All numbers are always drawn,
// so that switching one part off does not change the others.
struct CropPhotometry {
  bool jitter = false;
  std::array<int, 4> order{};  // a permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue
  std::array<float, 4> strength{};  // factor of each; hue: a shift in turns
  bool grey = false;
  bool blur = false;
  float sigma = 0;  // pixels of a 224-pixel crop
  bool solarize = false;
};
// Factors of brightness, contrast and saturation uniform in [max(0, 1 − 0.8 s), 1 + 0.8 s], hue in
// [−0.2 s, 0.2 s] (at most half a turn) with s = jitter_strength; sigma uniform in [0.1, 2].
// `sample`: global sample index. `crop`: counts an image's views over all resolutions, from 0.
CropPhotometry DrawPhotometry(const PhotometryConfig& config, uint64_t seed, uint64_t sample,
                              uint32_t crop);

// pixels: uint8 [crops, H, W, 3]; draws: one a crop (their number is checked).
// Returns float [crops, 3, H, W], channels last: operations on values in [0, 1], sigma scaled by
// H / 224, solarise at 0.5, then (x − mean) / std a channel. No gradient is recorded.
at::Tensor ApplyPhotometry(const at::Tensor& pixels, const std::vector<CropPhotometry>& draws,
                           const PhotometryConfig& config);

// Normalisation alone, as evaluation does; same shapes and type.
at::Tensor NormalisePixels(const at::Tensor& pixels, const PhotometryConfig& config);

}  // namespace seer::engine
