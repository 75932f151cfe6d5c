// In place of batch_norm_cuda.cc in a build without GPUs: no tensor can be on one.
#include "common/base/check.h"
#include "engine/nn/batch_norm_kernels.h"

namespace seer::engine {

const NormKernels& CudaNormKernels() {
  SEER_CHECK(false) << "a tensor on a GPU in a build without SEER_CUDA";
  static constexpr NormKernels none = {};
  return none;
}

}  // namespace seer::engine
