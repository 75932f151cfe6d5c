// In place of photometry_cuda.cc in a build without GPUs.
#include "engine/augment/fused_photometry.h"

namespace seer::engine {

std::optional<at::Tensor> FusedPhotometry(const at::Tensor&, const std::vector<CropPhotometry>&,
                                          const PhotometryConfig&, const BlurScale&) {
  return std::nullopt;
}

}  // namespace seer::engine
