#include "engine/nn/batch_norm_kernels.h"

#include <algorithm>
#include <cstdint>

#include <ATen/ATen.h>

#include "common/base/check.h"
#include "engine/nn/channel_rows.h"

namespace seer::engine {
namespace {

constexpr int64_t kShiftRows = 32;

// [chunks, 2, C] float -> [2 C] double.
at::Tensor SumOverChunks(const at::Tensor& partial) {
  return partial.sum({0}, /*keepdim=*/false, at::kDouble).flatten();
}

template <typename T>
at::Tensor Deviations(const at::Tensor& x, const at::Tensor& shift) {
  const Rows rows(x);
  const int64_t channels = rows.channels;
  const at::Tensor partial = at::zeros({rows.chunks, 2, channels}, at::kFloat);
  const T* const in = Data<T>(x);
  const float* const k = Data<float>(shift);
  float* const sums = Data<float>(partial);
  ForChunks(
      rows.chunks, [=](int64_t begin, int64_t end) __attribute__((always_inline)) {
        for (int64_t chunk = begin; chunk < end; ++chunk) {
          float* __restrict first = sums + chunk * 2 * channels;
          float* __restrict second = first + channels;
          const int64_t stop = std::min((chunk + 1) * rows.chunk, rows.count);
          for (int64_t row = chunk * rows.chunk; row < stop; ++row) {
            const T* __restrict v = in + row * channels;
#pragma GCC ivdep
            for (int64_t c = 0; c < channels; ++c) {
              const float d = Load(v[c]) - k[c];
              first[c] += d;
              second[c] += d * d;
            }
          }
        }
      });
  return SumOverChunks(partial);
}

template <typename T, bool kResidual, bool kRelu>
void ScaleShiftInto(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                    const at::Tensor& residual, const at::Tensor& out) {
  const Rows rows(x);
  const int64_t channels = rows.channels;
  const T* const in = Data<T>(x);
  const T* const more = Data<T>(residual);
  const float* const a = Data<float>(scale);
  const float* const b = Data<float>(shift);
  T* const to = Data<T>(out);
  ForChunks(
      rows.chunks, [=](int64_t begin, int64_t end) __attribute__((always_inline)) {
        const int64_t stop = std::min(end * rows.chunk, rows.count);
        for (int64_t row = begin * rows.chunk; row < stop; ++row) {
          const T* __restrict v = in + row * channels;
          const T* __restrict r = kResidual ? more + row * channels : nullptr;
          T* __restrict y = to + row * channels;
#pragma GCC ivdep
          for (int64_t c = 0; c < channels; ++c) {
            float value = Load(v[c]) * a[c] + b[c];
            if constexpr (kResidual) value += Load(r[c]);
            if constexpr (kRelu) value = value < 0 ? 0 : value;  // keeps NaN
            Store(value, y[c]);
          }
        }
      });
}

enum class Mask { kNone, kOutput, kComputed };  // how NormRelu says where g is dy

Mask MaskOf(const NormRelu& relu) {
  return relu.y.defined() ? Mask::kOutput : relu.scale.defined() ? Mask::kComputed : Mask::kNone;
}

template <typename T, Mask kMask>
at::Tensor SumGradientsInto(const at::Tensor& dy, const NormRelu& relu, const at::Tensor& x,
                            const at::Tensor& mean, const at::Tensor& gradient) {
  const Rows rows(x);
  const int64_t channels = rows.channels;
  const at::Tensor partial = at::zeros({rows.chunks, 2, channels}, at::kFloat);
  const T* const in = Data<T>(x);
  const T* const out = Data<T>(relu.y);
  const float *const scales = Data<float>(relu.scale), *const shifts = Data<float>(relu.shift);
  const T* const above = Data<T>(dy);
  const float* const m = Data<float>(mean);
  T* const to = Data<T>(gradient);
  float* const sums = Data<float>(partial);
  ForChunks(
      rows.chunks, [=](int64_t begin, int64_t end) __attribute__((always_inline)) {
        for (int64_t chunk = begin; chunk < end; ++chunk) {
          float* __restrict first = sums + chunk * 2 * channels;
          float* __restrict second = first + channels;
          const int64_t stop = std::min((chunk + 1) * rows.chunk, rows.count);
          for (int64_t row = chunk * rows.chunk; row < stop; ++row) {
            const T* __restrict v = in + row * channels;
            const T* __restrict o = kMask == Mask::kOutput ? out + row * channels : nullptr;
            const T* __restrict d = above + row * channels;
            T* __restrict g = kMask == Mask::kOutput ? to + row * channels : nullptr;
#pragma GCC ivdep
            for (int64_t c = 0; c < channels; ++c) {
              const float of_x = Load(v[c]);
              float value = Load(d[c]);
              if constexpr (kMask == Mask::kOutput) {
                value = Load(o[c]) <= 0 ? 0 : value;
                Store(value, g[c]);
              } else if constexpr (kMask == Mask::kComputed) {
                value = of_x * scales[c] + shifts[c] <= 0 ? 0 : value;
              }
              first[c] += value * (of_x - m[c]);
              second[c] += value;
            }
          }
        }
      });
  return SumOverChunks(partial);
}

template <typename T, bool kMasked>
void Combine(const at::Tensor& g, const NormRelu& relu, const at::Tensor& x, const at::Tensor& mean,
             const GradientCoefficients& coefficients, const at::Tensor& out) {
  const Rows rows(x);
  const int64_t channels = rows.channels;
  const T* const in = Data<T>(x);
  const T* const gradient = Data<T>(g);
  const float *const scales = Data<float>(relu.scale), *const shifts = Data<float>(relu.shift);
  const float *const m = Data<float>(mean), *const fa = Data<float>(coefficients.a),
                     *const fb = Data<float>(coefficients.b),
                     *const fc = Data<float>(coefficients.c);
  T* const to = Data<T>(out);
  ForChunks(
      rows.chunks, [=](int64_t begin, int64_t end) __attribute__((always_inline)) {
        const int64_t stop = std::min(end * rows.chunk, rows.count);
        for (int64_t row = begin * rows.chunk; row < stop; ++row) {
          const T* v = in + row * channels;
          const T* d = gradient + row * channels;
          T* dx = to + row * channels;
#pragma GCC ivdep
          for (int64_t i = 0; i < channels; ++i) {
            const float of_x = Load(v[i]);
            float value = Load(d[i]);
            if constexpr (kMasked) value = of_x * scales[i] + shifts[i] <= 0 ? 0 : value;
            Store(value * fa[i] + ((of_x - m[i]) * fb[i] + fc[i]), dx[i]);
          }
        }
      });
}

ChannelMoments CpuComputeMoments(const at::Tensor& x) {
  const Rows rows(x);
  // Deviations from about the mean, so that their squares cancel little: that of rows spread over
  // x.
  const at::Tensor flat =
      x.dim() == 4 ? x.permute({0, 2, 3, 1}).view({rows.count, rows.channels}) : x;
  const int64_t step = std::max<int64_t>(1, rows.count / kShiftRows);
  const at::Tensor shift =
      flat.slice(0, 0, rows.count, step).to(at::kFloat).mean(at::IntArrayRef{0});
  const at::Tensor sums =
      ForType(x, [&]<typename T>() { return Deviations<T>(x, shift); }) / double(rows.count);
  const at::Tensor mean = sums.narrow(0, 0, rows.channels);
  const at::Tensor variance =
      (sums.narrow(0, rows.channels, rows.channels) - mean * mean).clamp_min_(0);
  return {(mean + shift).to(at::kFloat), variance.to(at::kFloat)};
}

at::Tensor CpuPackMoments(const ChannelMoments& moments, const at::Tensor& count) {
  const at::Tensor mean = moments.mean.to(at::kDouble), variance = moments.variance.to(at::kDouble);
  return at::cat({mean, variance + mean * mean, at::ones({1}, at::kDouble)}).mul_(count);
}

ChannelMoments CpuUnpackMoments(const at::Tensor& packed) {
  const int64_t channels = packed.numel() / 2;
  const at::Tensor sums = packed / packed[2 * channels];
  const at::Tensor mean = sums.narrow(0, 0, channels);
  const at::Tensor variance = (sums.narrow(0, channels, channels) - mean * mean).clamp_min_(0);
  return {mean.to(at::kFloat), variance.to(at::kFloat)};
}

NormCoefficients CpuForwardCoefficients(const ChannelMoments& moments, const at::Tensor& weight,
                                        const at::Tensor& bias, double epsilon) {
  const at::Tensor mean = moments.mean.to(at::kDouble);
  const at::Tensor invstd = at::rsqrt(moments.variance.to(at::kDouble) + epsilon);
  const at::Tensor scale = weight.to(at::kDouble) * invstd;
  return {scale.to(at::kFloat), (bias.to(at::kDouble) - mean * scale).to(at::kFloat), invstd};
}

at::Tensor CpuScaleShift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                         const at::Tensor& residual, bool relu) {
  at::Tensor out = at::empty_like(x);
  ForType(x, [&]<typename T>() {
    const auto into =
        residual.defined()
            ? (relu ? ScaleShiftInto<T, true, true> : ScaleShiftInto<T, true, false>)
            : (relu ? ScaleShiftInto<T, false, true> : ScaleShiftInto<T, false, false>);
    into(x, scale, shift, residual, out);
  });
  return out;
}

GradientSums CpuSumGradients(const at::Tensor& dy, const NormRelu& relu, const at::Tensor& x,
                             const at::Tensor& mean) {
  const Mask mask = MaskOf(relu);
  const at::Tensor gradient = mask == Mask::kOutput ? at::empty_like(x) : dy;
  const at::Tensor sums = ForType(x, [&]<typename T>() {
    const auto into = mask == Mask::kOutput     ? SumGradientsInto<T, Mask::kOutput>
                      : mask == Mask::kComputed ? SumGradientsInto<T, Mask::kComputed>
                                                : SumGradientsInto<T, Mask::kNone>;
    return into(dy, relu, x, mean, gradient);
  });
  return {sums, gradient};
}

NormParameterGradients CpuParameterGradients(const at::Tensor& sums, const at::Tensor& invstd) {
  const int64_t channels = invstd.numel();
  return {(sums.narrow(0, 0, channels) * invstd).to(at::kFloat),
          sums.narrow(0, channels, channels).to(at::kFloat)};
}

GradientCoefficients CpuBackwardCoefficients(const at::Tensor& sums, const at::Tensor& count,
                                             const at::Tensor& weight, const at::Tensor& invstd) {
  const int64_t channels = invstd.numel();
  const at::Tensor means = sums / count;
  const at::Tensor a = weight.to(at::kDouble) * invstd;
  const at::Tensor b = -a * invstd * invstd * means.narrow(0, 0, channels);
  const at::Tensor c = -a * means.narrow(0, channels, channels);
  return {a.to(at::kFloat), b.to(at::kFloat), c.to(at::kFloat)};
}

void CpuCombineGradients(const at::Tensor& gradient, const NormRelu& relu, const at::Tensor& x,
                         const at::Tensor& mean, const GradientCoefficients& coefficients,
                         const at::Tensor& out) {
  ForType(x, [&]<typename T>() {
    const auto combine = MaskOf(relu) == Mask::kComputed ? Combine<T, true> : Combine<T, false>;
    combine(gradient, relu, x, mean, coefficients, out);
  });
}

void CheckAlike(const at::Tensor& a, const at::Tensor& x) {
  SEER_CHECK(HasChannelRows(a) && a.sizes() == x.sizes() && a.scalar_type() == x.scalar_type() &&
             a.device() == x.device())
      << "tensors of one norm lie differently";
}

const NormKernels& KernelsOf(const at::Tensor& x) {
  static constexpr NormKernels cpu = {
      &CpuComputeMoments,      &CpuPackMoments,          &CpuUnpackMoments,
      &CpuForwardCoefficients, &CpuScaleShift,           &CpuSumGradients,
      &CpuParameterGradients,  &CpuBackwardCoefficients, &CpuCombineGradients};
  return x.is_cpu() ? cpu : CudaNormKernels();
}

}  // namespace

ChannelMoments ComputeMoments(const at::Tensor& x) {
  CheckAlike(x, x);
  return KernelsOf(x).compute_moments(x);
}

at::Tensor PackMoments(const ChannelMoments& moments, const at::Tensor& count) {
  return KernelsOf(moments.mean).pack_moments(moments, count);
}

ChannelMoments UnpackMoments(const at::Tensor& packed) {
  return KernelsOf(packed).unpack_moments(packed);
}

NormCoefficients ForwardCoefficients(const ChannelMoments& moments, const at::Tensor& weight,
                                     const at::Tensor& bias, double epsilon) {
  return KernelsOf(weight).forward_coefficients(moments, weight, bias, epsilon);
}

at::Tensor ScaleShift(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                      const at::Tensor& residual, bool relu) {
  CheckAlike(x, x);
  if (residual.defined()) CheckAlike(residual, x);
  return KernelsOf(x).scale_shift(x, scale, shift, residual, relu);
}

GradientSums SumGradients(const at::Tensor& dy, const NormRelu& relu, const at::Tensor& x,
                          const at::Tensor& mean) {
  CheckAlike(x, x);
  CheckAlike(dy, x);
  if (relu.y.defined()) CheckAlike(relu.y, x);
  return KernelsOf(x).sum_gradients(dy, relu, x, mean);
}

NormParameterGradients ParameterGradients(const at::Tensor& sums, const at::Tensor& invstd) {
  return KernelsOf(sums).parameter_gradients(sums, invstd);
}

GradientCoefficients BackwardCoefficients(const at::Tensor& sums, const at::Tensor& count,
                                          const at::Tensor& weight, const at::Tensor& invstd) {
  return KernelsOf(weight).backward_coefficients(sums, count, weight, invstd);
}

void CombineGradients(const at::Tensor& gradient, const NormRelu& relu, const at::Tensor& x,
                      const at::Tensor& mean, const GradientCoefficients& coefficients,
                      const at::Tensor& out) {
  CheckAlike(x, x);
  CheckAlike(gradient, x);
  CheckAlike(out, x);
  KernelsOf(x).combine_gradients(gradient, relu, x, mean, coefficients, out);
}

}  // namespace seer::engine
