// In place of squeeze_excitation_cuda.cc in a build without GPUs: no tensor can be on one.
#include "common/base/check.h"
#include "engine/nn/squeeze_excitation_kernels.h"

namespace seer::engine {

at::Tensor SumPixelsOnGpu(const at::Tensor&, const at::Tensor&) {
  SEER_CHECK(false) << "a tensor on a GPU in a build without SEER_CUDA";
  return {};
}

at::Tensor ScalePixelsOnGpu(const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  SEER_CHECK(false) << "a tensor on a GPU in a build without SEER_CUDA";
  return {};
}

}  // namespace seer::engine
