// Norm kernels on tensors of a GPU.
#include "engine/nn/batch_norm_cuda.h"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "engine/nn/batch_norm_kernels.h"
#include "engine/nn/rows_on_gpu.h"

namespace seer::engine {
namespace {

using Call = RowsOnGpu;

const void* Data(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr() : nullptr;
}
const float* Floats(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
float* Into(const at::Tensor& tensor) { return tensor.data_ptr<float>(); }

at::Tensor Vector(const at::Tensor& like, at::ScalarType type, int64_t size) {
  return at::empty({size}, like.options().dtype(type).memory_format(at::MemoryFormat::Contiguous));
}

ChannelMoments ComputeMomentsOnGpu(const at::Tensor& x) {
  const Call call(x, {});
  const int64_t channels = call.rows().channels;
  if (call.empty()) {
    const at::Tensor nothing = at::full({channels}, NAN, x.options().dtype(at::kFloat));
    return {nothing, nothing.clone()};
  }
  ChannelMoments moments = {Vector(x, at::kFloat, channels), Vector(x, at::kFloat, channels)};
  const at::Tensor partial = Vector(x, at::kFloat, cuda::PartialSize(call.rows()));
  cuda::Moments(call.rows(), Data(x), Into(partial), Into(moments.mean), Into(moments.variance));
  return moments;
}

at::Tensor PackMomentsOnGpu(const ChannelMoments& moments, const at::Tensor& count) {
  const c10::cuda::CUDAGuard guard(moments.mean.device());
  const int64_t channels = moments.mean.numel();
  at::Tensor packed = Vector(moments.mean, at::kDouble, 2 * channels + 1);
  cuda::PackMoments(channels, c10::cuda::getCurrentCUDAStream().stream(), Floats(moments.mean),
                    Floats(moments.variance), count.const_data_ptr<double>(),
                    packed.data_ptr<double>());
  return packed;
}

ChannelMoments UnpackMomentsOnGpu(const at::Tensor& packed) {
  const c10::cuda::CUDAGuard guard(packed.device());
  const int64_t channels = packed.numel() / 2;
  ChannelMoments moments = {Vector(packed, at::kFloat, channels),
                            Vector(packed, at::kFloat, channels)};
  cuda::UnpackMoments(channels, c10::cuda::getCurrentCUDAStream().stream(),
                      packed.const_data_ptr<double>(), Into(moments.mean), Into(moments.variance));
  return moments;
}

NormCoefficients ForwardCoefficientsOnGpu(const ChannelMoments& moments, const at::Tensor& weight,
                                          const at::Tensor& bias, double epsilon) {
  const c10::cuda::CUDAGuard guard(weight.device());
  const int64_t channels = weight.numel();
  const NormCoefficients result = {Vector(weight, at::kFloat, channels),
                                   Vector(weight, at::kFloat, channels),
                                   Vector(weight, at::kDouble, channels)};
  cuda::ForwardCoefficients(channels, c10::cuda::getCurrentCUDAStream().stream(),
                            Floats(moments.mean), Floats(moments.variance), Floats(weight),
                            Floats(bias), epsilon, Into(result.scale), Into(result.shift),
                            result.invstd.data_ptr<double>());
  return result;
}

at::Tensor ScaleShiftOnGpu(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                           const at::Tensor& residual, bool relu) {
  at::Tensor y = at::empty_like(x);
  const Call call(x, {residual, y});
  if (call.empty()) return y;
  cuda::ScaleShift(call.rows(), Data(x), Floats(scale), Floats(shift), Data(residual), relu,
                   y.data_ptr());
  return y;
}

cuda::ReluMask MaskOf(const NormRelu& relu) {
  cuda::ReluMask mask;
  mask.y = Data(relu.y);
  if (relu.scale.defined()) {
    mask.scale = Floats(relu.scale);
    mask.shift = Floats(relu.shift);
  }
  return mask;
}

GradientSums SumGradientsOnGpu(const at::Tensor& dy, const NormRelu& relu, const at::Tensor& x,
                               const at::Tensor& mean) {
  const at::Tensor g = relu.y.defined() ? at::empty_like(x) : dy;
  const Call call(x, {dy, relu.y, g});
  const int64_t channels = call.rows().channels;
  if (call.empty()) return {at::zeros({2 * channels}, x.options().dtype(at::kDouble)), g};
  const at::Tensor sums = Vector(x, at::kDouble, 2 * channels);
  const at::Tensor partial = Vector(x, at::kFloat, cuda::PartialSize(call.rows()));
  cuda::SumGradients(call.rows(), Data(dy), MaskOf(relu), Data(x), Floats(mean),
                     relu.y.defined() ? g.data_ptr() : nullptr, Into(partial),
                     sums.data_ptr<double>());
  return {sums, g};
}

NormParameterGradients ParameterGradientsOnGpu(const at::Tensor& sums, const at::Tensor& invstd) {
  const c10::cuda::CUDAGuard guard(sums.device());
  const int64_t channels = invstd.numel();
  const NormParameterGradients result = {Vector(sums, at::kFloat, channels),
                                         Vector(sums, at::kFloat, channels)};
  cuda::ParameterGradients(channels, c10::cuda::getCurrentCUDAStream().stream(),
                           sums.const_data_ptr<double>(), invstd.const_data_ptr<double>(),
                           Into(result.weight), Into(result.bias));
  return result;
}

GradientCoefficients BackwardCoefficientsOnGpu(const at::Tensor& sums, const at::Tensor& count,
                                               const at::Tensor& weight, const at::Tensor& invstd) {
  const c10::cuda::CUDAGuard guard(weight.device());
  const int64_t channels = weight.numel();
  const GradientCoefficients result = {Vector(weight, at::kFloat, channels),
                                       Vector(weight, at::kFloat, channels),
                                       Vector(weight, at::kFloat, channels)};
  cuda::BackwardCoefficients(channels, c10::cuda::getCurrentCUDAStream().stream(),
                             sums.const_data_ptr<double>(), count.const_data_ptr<double>(),
                             Floats(weight), invstd.const_data_ptr<double>(), Into(result.a),
                             Into(result.b), Into(result.c));
  return result;
}

void CombineGradientsOnGpu(const at::Tensor& gradient, const NormRelu& relu, const at::Tensor& x,
                           const at::Tensor& mean, const GradientCoefficients& coefficients,
                           const at::Tensor& out) {
  const Call call(x, {gradient, out});
  if (call.empty()) return;
  cuda::CombineGradients(call.rows(), Data(gradient), MaskOf(relu), Data(x), Floats(mean),
                         Floats(coefficients.a), Floats(coefficients.b), Floats(coefficients.c),
                         out.data_ptr());
}

}  // namespace

const NormKernels& CudaNormKernels() {
  static constexpr NormKernels kernels = {
      &ComputeMomentsOnGpu,      &PackMomentsOnGpu,          &UnpackMomentsOnGpu,
      &ForwardCoefficientsOnGpu, &ScaleShiftOnGpu,           &SumGradientsOnGpu,
      &ParameterGradientsOnGpu,  &BackwardCoefficientsOnGpu, &CombineGradientsOnGpu};
  return kernels;
}

}  // namespace seer::engine
