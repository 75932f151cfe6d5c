// In place of grouped_conv_cuda.cc in a build without GPUs.
#include "engine/nn/grouped_conv.h"

namespace seer::engine {

std::optional<at::Tensor> GroupedConvOnGpu(const at::Tensor&, const at::Tensor&, int64_t, int64_t) {
  return std::nullopt;
}

}  // namespace seer::engine
