// Norm kernels on tensors of a GPU.
#include "engine/nn/batch_norm_cuda.h"

#include <algorithm>
#include <initializer_list>

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "engine/nn/batch_norm_kernels.h"

namespace seer::engine {
namespace {

constexpr int64_t kPackBytes = 16;

// One call: on x's device and its current stream.
class Call {
 public:
  // `others`: further tensors that the kernel moves in packs; undefined ones do not count.
  Call(const at::Tensor& x, std::initializer_list<at::Tensor> others) : guard_(x.device()) {
    rows_.channels = x.size(1);
    rows_.rows = x.numel() / std::max<int64_t>(rows_.channels, 1);
    rows_.type = x.scalar_type() == at::kFloat  ? cuda::NumberType::kFloat
                 : x.scalar_type() == at::kHalf ? cuda::NumberType::kFloat16
                                                : cuda::NumberType::kBfloat16;
    const auto aligned = [](const at::Tensor& t) {
      return !t.defined() || reinterpret_cast<uintptr_t>(t.const_data_ptr()) % kPackBytes == 0;
    };
    rows_.packed = rows_.channels * x.element_size() % kPackBytes == 0 && aligned(x) &&
                   std::all_of(others.begin(), others.end(), aligned);
    rows_.stream = c10::cuda::getCurrentCUDAStream().stream();
  }
  const cuda::NormRows& rows() const { return rows_; }
  bool empty() const { return rows_.rows * rows_.channels == 0; }

 private:
  const c10::cuda::CUDAGuard guard_;
  cuda::NormRows rows_;
};

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

GradientSums SumGradientsOnGpu(const at::Tensor& dy, const at::Tensor& y, const at::Tensor& x,
                               const at::Tensor& mean) {
  const at::Tensor g = y.defined() ? at::empty_like(x) : dy;
  const Call call(x, {dy, y, g});
  const int64_t channels = call.rows().channels;
  if (call.empty()) return {at::zeros({2 * channels}, x.options().dtype(at::kDouble)), g};
  const at::Tensor sums = Vector(x, at::kDouble, 2 * channels);
  const at::Tensor partial = Vector(x, at::kFloat, cuda::PartialSize(call.rows()));
  cuda::SumGradients(call.rows(), Data(dy), Data(y), Data(x), Floats(mean),
                     y.defined() ? g.data_ptr() : nullptr, Into(partial), sums.data_ptr<double>());
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

void CombineGradientsOnGpu(const at::Tensor& g, const at::Tensor& x, const at::Tensor& mean,
                           const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                           const at::Tensor& out) {
  const Call call(x, {g, out});
  if (call.empty()) return;
  cuda::CombineGradients(call.rows(), Data(g), Data(x), Floats(mean), Floats(a), Floats(b),
                         Floats(c), out.data_ptr());
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
