// Squeeze-and-excitation, Hu et al. 2018 (arXiv:1709.01507), as one function of autograd: its
// gradient reads the pixels twice and writes them once, where a chain of simple ones takes five
// passes more.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "engine/nn/blocks.h"

namespace seer::engine {

// x · sigmoid(fc2(relu(fc1(mean over pixels)))); fc1 and fc2 are 1 x 1 convolutions with bias.
class SqueezeExcitation {
 public:
  SqueezeExcitation(LayeredSegment& owner, const std::string& name, int64_t width, int64_t squeezed,
                    const BuildContext& context);
  // x: [N, width, H, W], float, bfloat16 or half; the result in x's type. fc1 and fc2 are computed
  // in that type, their gradients in float.
  at::Tensor Forward(const at::Tensor& x) const;

 private:
  at::Tensor fc1_weight_, fc1_bias_, fc2_weight_, fc2_bias_;
};

}  // namespace seer::engine
