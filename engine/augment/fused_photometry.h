// ApplyPhotometry in a few kernels of our own, where there are some: on a GPU, for square crops.
#pragma once

#include <optional>
#include <vector>

#include "engine/augment/photometry.h"

namespace seer::engine {

// How blurs are scaled to the crops' size.
struct BlurScale {
  float sigma = 1;     // pixels of the crop a pixel of a draw's sigma
  int64_t radius = 0;  // pixels
};

// Arguments and result as ApplyPhotometry's, which has checked them; within float rounding of it.
// nullopt: no kernels for these pixels. A build without GPUs has none at all.
std::optional<at::Tensor> FusedPhotometry(const at::Tensor& pixels,
                                          const std::vector<CropPhotometry>& draws,
                                          const PhotometryConfig& config, const BlurScale& blur);

}  // namespace seer::engine
