#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>

#include "engine/nn/grouped_conv.h"
#include "engine/nn/grouped_conv_hopper.h"

namespace seer::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kLayout = at::MemoryFormat::ChannelsLast;
constexpr uintptr_t kAlignment = 16;  // bytes

bool Aligned(const at::Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % kAlignment == 0;
}

cuda::GroupedConv ShapeOf(const at::Tensor& x, int64_t group_width, int64_t stride) {
  return {x.size(0),
          x.size(2),
          x.size(3),
          x.size(1),
          group_width,
          stride,
          c10::cuda::getCurrentCUDAStream().stream()};
}

at::Tensor Images(const at::Tensor& like, int64_t height, int64_t width) {
  return at::empty({like.size(0), like.size(1), height, width},
                   like.options().memory_format(kLayout));
}

struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            int64_t stride) {
    const c10::cuda::CUDAGuard guard(x.device());
    const at::Tensor narrow = weight.to(x.scalar_type()).contiguous(kLayout);
    const cuda::GroupedConv conv = ShapeOf(x, weight.size(1), stride);
    at::Tensor y = Images(x, conv.output_height(), conv.output_width());
    cuda::Convolve(conv, x.const_data_ptr(), narrow.const_data_ptr(), y.data_ptr());
    ctx->save_for_backward({x, narrow});
    ctx->saved_data["stride"] = stride;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const int64_t stride = ctx->saved_data["stride"].toInt();
    const c10::cuda::CUDAGuard guard(x.device());
    at::Tensor dy = gradients[0].contiguous(kLayout);
    if (!Aligned(dy)) dy = dy.clone(kLayout);
    const cuda::GroupedConv conv = ShapeOf(x, weight.size(1), stride);
    at::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = Images(x, x.size(2), x.size(3));
      cuda::ConvolveBack(conv, dy.const_data_ptr(), weight.const_data_ptr(), dx.data_ptr());
    }
    const at::TensorOptions floats = x.options().dtype(at::kFloat);
    at::Tensor dweight = at::empty(weight.sizes(), floats.memory_format(kLayout));
    const at::Tensor partial = at::empty({cuda::WeightPartialSize(conv)}, floats);
    cuda::WeightGradient(conv, dy.const_data_ptr(), x.const_data_ptr(), partial.data_ptr<float>(),
                         dweight.data_ptr<float>());
    return {dx, dweight, {}};
  }
};

}  // namespace

std::optional<at::Tensor> GroupedConvOnGpu(const at::Tensor& x, const at::Tensor& weight,
                                           int64_t stride, int64_t groups) {
  if (!x.is_cuda() || x.scalar_type() != at::kBFloat16 || weight.scalar_type() != at::kFloat ||
      groups == 1 || weight.size(2) != 3 || weight.size(3) != 3 || weight.size(0) != x.size(1) ||
      stride > 2 || x.numel() == 0 || !x.is_contiguous(kLayout) || !Aligned(x))
    return std::nullopt;
  const c10::cuda::CUDAGuard guard(x.device());
  if (!cuda::HopperConvolves(weight.size(1))) return std::nullopt;
  return Convolution::apply(x, weight, stride);
}

}  // namespace seer::engine
