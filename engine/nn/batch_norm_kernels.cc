#include "engine/nn/batch_norm_kernels.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include <ATen/ATen.h>
#include <ATen/TensorIterator.h>

#include "common/base/check.h"

#define SEER_INLINE inline __attribute__((always_inline))

namespace seer::engine {
namespace {

// A chunk is summed in float: short enough for 1e-6, long enough that its sums cost nothing.
constexpr int64_t kChunkElements = 16384, kLongestChunk = 128;
constexpr int64_t kShiftRows = 32;

struct Rows {
  explicit Rows(const at::Tensor& x)
      : channels(x.size(1)),
        count(x.numel() / std::max<int64_t>(channels, 1)),
        chunk(
            std::clamp<int64_t>(kChunkElements / std::max<int64_t>(channels, 1), 8, kLongestChunk)),
        chunks((count + chunk - 1) / chunk) {}
  const int64_t channels, count, chunk, chunks;
};

// bfloat16 as its bits: plain integers are what the compiler vectorises.
SEER_INLINE float Load(float value) { return value; }
SEER_INLINE float Load(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
SEER_INLINE float Load(at::Half value) { return static_cast<float>(value); }
SEER_INLINE void Store(float value, float& to) { to = value; }
SEER_INLINE void Store(float value, at::Half& to) { to = value; }
SEER_INLINE void Store(float value, uint16_t& to) {  // to nearest, ties to even
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to = static_cast<uint16_t>(value == value ? rounded : 0x7fc0u);
}

template <typename T>
T* Data(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.data_ptr()) : nullptr;
}

#if defined(__x86_64__)
template <typename Body>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) void RunAvx512(
    const Body& body, int64_t begin, int64_t end) {
  body(begin, end);
}
template <typename Body>
__attribute__((target("avx2,fma"))) void RunAvx2(const Body& body, int64_t begin, int64_t end) {
  body(begin, end);
}
#endif

// body(first chunk, end of chunks), compiled for what the processor has.
template <typename Body>
void RunOnThisProcessor(const Body& body, int64_t begin, int64_t end) {
#if defined(__x86_64__)
  static const bool avx512 = __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512dq") &&
                             __builtin_cpu_supports("avx512vl");
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512) return RunAvx512(body, begin, end);
  if (avx2) return RunAvx2(body, begin, end);
#endif
  body(begin, end);
}

// Chunks on LibTorch's threads. Its parallel_for is serial in code that is compiled without OpenMP,
// as this is, so an iterator over the chunks' numbers carries it into the library.
template <typename Body>
void ForChunks(int64_t chunks, const Body& body) {
  if (chunks == 0) return;
  const at::Tensor numbers = at::arange(chunks, at::kLong);
  at::TensorIteratorConfig config;
  auto iterator = config.add_const_input(numbers).build();
  iterator.for_each(
      [&](char** data, const int64_t* strides, int64_t inner, int64_t outer) {
        SEER_CHECK(outer == 1 && (inner == 1 || strides[0] == sizeof(int64_t)))
            << "the numbers of chunks lie apart";
        const int64_t begin = *reinterpret_cast<const int64_t*>(data[0]);
        RunOnThisProcessor(body, begin, begin + inner);
      },
      /*grain_size=*/1);
}

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

template <typename T, bool kRelu>
at::Tensor SumGradientsInto(const at::Tensor& dy, const at::Tensor& y, const at::Tensor& x,
                            const at::Tensor& mean, const at::Tensor& gradient) {
  const Rows rows(x);
  const int64_t channels = rows.channels;
  const at::Tensor partial = at::zeros({rows.chunks, 2, channels}, at::kFloat);
  const T* const in = Data<T>(x);
  const T* const out = Data<T>(y);
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
            const T* __restrict o = kRelu ? out + row * channels : nullptr;
            const T* __restrict d = above + row * channels;
            T* __restrict g = kRelu ? to + row * channels : nullptr;
#pragma GCC ivdep
            for (int64_t c = 0; c < channels; ++c) {
              float value = Load(d[c]);
              if constexpr (kRelu) {
                value = Load(o[c]) <= 0 ? 0 : value;
                Store(value, g[c]);
              }
              first[c] += value * (Load(v[c]) - m[c]);
              second[c] += value;
            }
          }
        }
      });
  return SumOverChunks(partial);
}

template <typename T>
void Combine(const at::Tensor& g, const at::Tensor& x, const at::Tensor& mean, const at::Tensor& a,
             const at::Tensor& b, const at::Tensor& c, const at::Tensor& out) {
  const Rows rows(x);
  const int64_t channels = rows.channels;
  const T* const in = Data<T>(x);
  const T* const gradient = Data<T>(g);
  const float *const m = Data<float>(mean), *const fa = Data<float>(a), *const fb = Data<float>(b),
                     *const fc = Data<float>(c);
  T* const to = Data<T>(out);
  ForChunks(
      rows.chunks, [=](int64_t begin, int64_t end) __attribute__((always_inline)) {
        const int64_t stop = std::min(end * rows.chunk, rows.count);
        for (int64_t row = begin * rows.chunk; row < stop; ++row) {
          const T* v = in + row * channels;
          const T* d = gradient + row * channels;
          T* dx = to + row * channels;
#pragma GCC ivdep
          for (int64_t i = 0; i < channels; ++i)
            Store(Load(d[i]) * fa[i] + ((Load(v[i]) - m[i]) * fb[i] + fc[i]), dx[i]);
        }
      });
}

// call.operator()<float>(), <uint16_t> for bfloat16, or <at::Half>().
template <typename Call>
auto ForType(const at::Tensor& x, const Call& call) {
  if (x.scalar_type() == at::kFloat) return call.template operator()<float>();
  if (x.scalar_type() == at::kHalf) return call.template operator()<at::Half>();
  return call.template operator()<uint16_t>();
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

GradientSums CpuSumGradients(const at::Tensor& dy, const at::Tensor& y, const at::Tensor& x,
                             const at::Tensor& mean) {
  if (!y.defined()) {
    return {
        ForType(x, [&]<typename T>() { return SumGradientsInto<T, false>(dy, y, x, mean, {}); }),
        dy};
  }
  const at::Tensor gradient = at::empty_like(x);
  return {
      ForType(x, [&]<typename T>() { return SumGradientsInto<T, true>(dy, y, x, mean, gradient); }),
      gradient};
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

void CpuCombineGradients(const at::Tensor& g, const at::Tensor& x, const at::Tensor& mean,
                         const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                         const at::Tensor& out) {
  ForType(x, [&]<typename T>() { Combine<T>(g, x, mean, a, b, c, out); });
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

bool HasChannelRows(const at::Tensor& x) {
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16 &&
      x.scalar_type() != at::kHalf)
    return false;
  return x.dim() == 4 ? x.is_contiguous(at::MemoryFormat::ChannelsLast)
                      : x.dim() == 2 && x.is_contiguous();
}

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

GradientSums SumGradients(const at::Tensor& dy, const at::Tensor& y, const at::Tensor& x,
                          const at::Tensor& mean) {
  CheckAlike(x, x);
  CheckAlike(dy, x);
  if (y.defined()) CheckAlike(y, x);
  return KernelsOf(x).sum_gradients(dy, y, x, mean);
}

NormParameterGradients ParameterGradients(const at::Tensor& sums, const at::Tensor& invstd) {
  return KernelsOf(sums).parameter_gradients(sums, invstd);
}

GradientCoefficients BackwardCoefficients(const at::Tensor& sums, const at::Tensor& count,
                                          const at::Tensor& weight, const at::Tensor& invstd) {
  return KernelsOf(weight).backward_coefficients(sums, count, weight, invstd);
}

void CombineGradients(const at::Tensor& g, const at::Tensor& x, const at::Tensor& mean,
                      const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                      const at::Tensor& out) {
  CheckAlike(x, x);
  CheckAlike(g, x);
  CheckAlike(out, x);
  KernelsOf(x).combine_gradients(g, x, mean, a, b, c, out);
}

}  // namespace seer::engine
