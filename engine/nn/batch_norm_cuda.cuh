// The kernels behind batch_norm_cuda.h. x is [rows, channels] without gaps. A block is
// kBlock threads as x lanes of channels times y lanes of rows; a thread keeps its channels, so that
// it loads their coefficients once. Sums are float within a block and double over blocks, in an
// order that depends on the shape alone: no atomics.
#pragma once

#include "engine/device/cuda_numbers.cuh"

namespace seer::engine::cuda {

inline constexpr int kBlock = 256;     // threads
inline constexpr int kMostLanes = 32;  // of channels
inline constexpr int kTargetBlocks = 512, kMostRowsOfAThread = 256, kLeastRowsOfAThread = 4;

// How threads lie over [rows, channels].
struct RowGrid {
  int lanes = 1, row_lanes = 1;     // of a block: packs of channels, rows
  int columns = 1, row_blocks = 1;  // blocks
};

inline RowGrid GridFor(int64_t rows, int64_t channels, int pack_width) {
  RowGrid grid;
  const int64_t packs = (channels + pack_width - 1) / pack_width;
  while (grid.lanes < packs && grid.lanes < kMostLanes) grid.lanes *= 2;
  grid.row_lanes = kBlock / grid.lanes;
  grid.columns = static_cast<int>((packs + grid.lanes - 1) / grid.lanes);
  const auto blocks_of = [&](int64_t rows_of_a_thread) {
    return (rows + grid.row_lanes * rows_of_a_thread - 1) / (grid.row_lanes * rows_of_a_thread);
  };
  int64_t blocks = kTargetBlocks / grid.columns;
  const int64_t most = blocks_of(kLeastRowsOfAThread), least = blocks_of(kMostRowsOfAThread);
  blocks = blocks > most ? most : blocks;
  blocks = blocks < least ? least : blocks;
  grid.row_blocks = static_cast<int>(blocks < 1 ? 1 : blocks > 65535 ? 65535 : blocks);
  return grid;
}

// Each includer's own: nvcc and the host's compiler make different code of them.
namespace {

// The first of this thread's channels, and how its rows go.
struct Place {
  __device__ Place(int64_t channels, int width)
      : channel((static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * width),
        first(static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y),
        step(static_cast<int64_t>(gridDim.y) * blockDim.y),
        inside(channel < channels) {}
  const int64_t channel, first, step;
  const bool inside;
};

// Sums `own` over the block's rows: those with threadIdx.y 0 get the result. All threads call it.
template <int kCount>
__device__ void SumOverRows(float (&own)[kCount]) {
  __shared__ float shared[kCount * kBlock];
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  for (int i = 0; i < kCount; ++i) shared[i * kBlock + thread] = own[i];
  for (int half = static_cast<int>(blockDim.y) / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.y) < half) {
      for (int i = 0; i < kCount; ++i)
        shared[i * kBlock + thread] += shared[i * kBlock + thread + half * blockDim.x];
    }
  }
  if (threadIdx.y == 0) {
    for (int i = 0; i < kCount; ++i) own[i] = shared[i * kBlock + thread];
  }
}

// Both sums of the block's rows to partial[row block][0, 1][channels].
template <int kWidth>
__device__ void StoreSums(float (&sums)[2 * kWidth], const Place& place, int64_t channels,
                          float* partial) {
  SumOverRows(sums);
  if (!place.inside || threadIdx.y != 0) return;
  float* const to = partial + static_cast<int64_t>(blockIdx.y) * 2 * channels + place.channel;
  for (int i = 0; i < kWidth; ++i) {
    to[i] = sums[i];
    to[channels + i] = sums[kWidth + i];
  }
}

// partial[row block][0, 1][channels]: of d and d², d = x - its first row.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kBlock)
    SumDeviations(const T* x, int64_t rows, int64_t channels, float* partial) {
  const Place place(channels, kWidth);
  float sums[2 * kWidth] = {};
  if (place.inside) {
    const Pack<T, kWidth> shift = LoadPack<T, kWidth>(x + place.channel);
    for (int64_t row = place.first; row < rows; row += place.step) {
      const Pack<T, kWidth> v = LoadPack<T, kWidth>(x + row * channels + place.channel);
      for (int i = 0; i < kWidth; ++i) {
        const float d = Load(v.at[i]) - Load(shift.at[i]);
        sums[i] += d;
        sums[kWidth + i] += d * d;
      }
    }
  }
  StoreSums<kWidth>(sums, place, channels, partial);
}

// y = x · scale + shift (+ residual) (relu, which keeps NaN).
template <typename T, int kWidth, bool kResidual, bool kRelu>
__global__ void __launch_bounds__(kBlock)
    ScaleShiftRows(const T* x, const float* scale, const float* shift, const T* residual,
                   int64_t rows, int64_t channels, T* y) {
  const Place place(channels, kWidth);
  if (!place.inside) return;
  float a[kWidth], b[kWidth];
  for (int i = 0; i < kWidth; ++i) {
    a[i] = scale[place.channel + i];
    b[i] = shift[place.channel + i];
  }
  for (int64_t row = place.first; row < rows; row += place.step) {
    const int64_t at = row * channels + place.channel;
    const Pack<T, kWidth> v = LoadPack<T, kWidth>(x + at);
    Pack<T, kWidth> more = {}, out;
    if constexpr (kResidual) more = LoadPack<T, kWidth>(residual + at);
    for (int i = 0; i < kWidth; ++i) {
      float value = Load(v.at[i]) * a[i] + b[i];
      if constexpr (kResidual) value += Load(more.at[i]);
      if constexpr (kRelu) value = value < 0 ? 0 : value;
      Store(value, out.at[i]);
    }
    StorePack(out, y + at);
  }
}

// How g comes of dy: as it is; where y > 0, and stored; where x · scale + shift > 0.
enum class Mask { kNone, kOutput, kComputed };

// partial[row block][0, 1][channels]: of g · (x − mean) and g.
template <typename T, int kWidth, Mask kMask>
__global__ void __launch_bounds__(kBlock)
    SumGradientRows(const T* dy, const T* y, const float* scale, const float* shift, const T* x,
                    const float* mean, int64_t rows, int64_t channels, T* g, float* partial) {
  const Place place(channels, kWidth);
  float sums[2 * kWidth] = {};
  if (place.inside) {
    float m[kWidth], a[kWidth] = {}, b[kWidth] = {};
    for (int i = 0; i < kWidth; ++i) {
      m[i] = mean[place.channel + i];
      if constexpr (kMask == Mask::kComputed) {
        a[i] = scale[place.channel + i];
        b[i] = shift[place.channel + i];
      }
    }
    for (int64_t row = place.first; row < rows; row += place.step) {
      const int64_t at = row * channels + place.channel;
      const Pack<T, kWidth> v = LoadPack<T, kWidth>(x + at), d = LoadPack<T, kWidth>(dy + at);
      Pack<T, kWidth> o = {}, masked = {};
      if constexpr (kMask == Mask::kOutput) o = LoadPack<T, kWidth>(y + at);
      for (int i = 0; i < kWidth; ++i) {
        const float of_x = Load(v.at[i]);
        float value = Load(d.at[i]);
        if constexpr (kMask == Mask::kOutput) {
          value = Load(o.at[i]) <= 0 ? 0 : value;
          Store(value, masked.at[i]);
        } else if constexpr (kMask == Mask::kComputed) {
          value = of_x * a[i] + b[i] <= 0 ? 0 : value;
        }
        sums[i] += value * (of_x - m[i]);
        sums[kWidth + i] += value;
      }
      if constexpr (kMask == Mask::kOutput) StorePack(masked, g + at);
    }
  }
  StoreSums<kWidth>(sums, place, channels, partial);
}

// What a channel's CombineRows takes: of [channels].
struct Combination {
  const float *mean, *a, *b, *c;
  const float *scale, *shift;  // of Mask::kComputed
};

// out = g · a + (x − mean) · b + c; kMasked: g is dy where x · scale + shift > 0. `out` may be `g`.
template <typename T, int kWidth, bool kMasked>
__global__ void __launch_bounds__(kBlock)
    CombineRows(const T* g, const T* x, Combination of, int64_t rows, int64_t channels, T* out) {
  const Place place(channels, kWidth);
  if (!place.inside) return;
  float m[kWidth], fa[kWidth], fb[kWidth], fc[kWidth], scale[kWidth] = {}, shift[kWidth] = {};
  for (int i = 0; i < kWidth; ++i) {
    m[i] = of.mean[place.channel + i];
    fa[i] = of.a[place.channel + i];
    fb[i] = of.b[place.channel + i];
    fc[i] = of.c[place.channel + i];
    if constexpr (kMasked) {
      scale[i] = of.scale[place.channel + i];
      shift[i] = of.shift[place.channel + i];
    }
  }
  for (int64_t row = place.first; row < rows; row += place.step) {
    const int64_t at = row * channels + place.channel;
    const Pack<T, kWidth> v = LoadPack<T, kWidth>(x + at), d = LoadPack<T, kWidth>(g + at);
    Pack<T, kWidth> result;
    for (int i = 0; i < kWidth; ++i) {
      const float of_x = Load(v.at[i]);
      float value = Load(d.at[i]);
      if constexpr (kMasked) value = of_x * scale[i] + shift[i] <= 0 ? 0 : value;
      Store(value * fa[i] + ((of_x - m[i]) * fb[i] + fc[i]), result.at[i]);
    }
    StorePack(result, out + at);
  }
}

// Of one channel over all row blocks, by the block's rows of threads: threadIdx.y 0 gets the sums.
// All threads call it. Block: (kMostLanes, kBlock / kMostLanes).
__device__ void SumOverBlocks(const float* partial, int row_blocks, int64_t channels,
                              int64_t channel, double& first, double& second) {
  __shared__ double shared[2 * kBlock];
  double own[2] = {};
  if (channel < channels) {
    for (int64_t block = threadIdx.y; block < row_blocks; block += blockDim.y) {
      own[0] += partial[block * 2 * channels + channel];
      own[1] += partial[(block * 2 + 1) * channels + channel];
    }
  }
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  shared[thread] = own[0];
  shared[kBlock + thread] = own[1];
  for (int half = static_cast<int>(blockDim.y) / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.y) < half) {
      shared[thread] += shared[thread + half * blockDim.x];
      shared[kBlock + thread] += shared[kBlock + thread + half * blockDim.x];
    }
  }
  first = shared[thread];
  second = shared[kBlock + thread];
}

// The last step of SumDeviations.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    FinishMoments(const float* partial, int row_blocks, const T* x, int64_t rows, int64_t channels,
                  float* mean, float* variance) {
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  double first = 0, second = 0;
  SumOverBlocks(partial, row_blocks, channels, channel, first, second);
  if (channel >= channels || threadIdx.y != 0) return;
  const double offset = first / static_cast<double>(rows);
  const double spread = second / static_cast<double>(rows) - offset * offset;
  mean[channel] = static_cast<float>(offset + Load(x[channel]));
  variance[channel] = static_cast<float>(spread < 0 ? 0 : spread);
}

// The last step of SumGradientRows: sums[2 channels].
__global__ void __launch_bounds__(kBlock)
    FinishGradientSums(const float* partial, int row_blocks, int64_t channels, double* sums) {
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  double first = 0, second = 0;
  SumOverBlocks(partial, row_blocks, channels, channel, first, second);
  if (channel >= channels || threadIdx.y != 0) return;
  sums[channel] = first;
  sums[channels + channel] = second;
}

// See PackMoments and UnpackMoments in batch_norm_kernels.h.
__global__ void __launch_bounds__(kBlock)
    PackMomentRows(const float* mean, const float* variance, const double* count, int64_t channels,
                   double* packed) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c == 0) packed[2 * channels] = *count;
  if (c >= channels) return;
  const double m = mean[c];
  packed[c] = m * *count;
  packed[channels + c] = (variance[c] + m * m) * *count;
}
__global__ void __launch_bounds__(kBlock)
    UnpackMomentRows(const double* packed, int64_t channels, float* mean, float* variance) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  const double m = packed[c] / packed[2 * channels];
  const double spread = packed[channels + c] / packed[2 * channels] - m * m;
  mean[c] = static_cast<float>(m);
  variance[c] = static_cast<float>(spread < 0 ? 0 : spread);
}

// See ParameterGradients in batch_norm_kernels.h.
__global__ void __launch_bounds__(kBlock)
    ParameterGradientRows(const double* sums, const double* invstd, int64_t channels, float* weight,
                          float* bias) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  weight[c] = static_cast<float>(sums[c] * invstd[c]);
  bias[c] = static_cast<float>(sums[channels + c]);
}

// scale = weight / √(variance + epsilon), shift = bias − mean · scale.
__global__ void __launch_bounds__(kBlock)
    ForwardCoefficientRows(const float* mean, const float* variance, const float* weight,
                           const float* bias, double epsilon, int64_t channels, float* scale,
                           float* shift, double* invstd) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  invstd[c] = 1.0 / sqrt(static_cast<double>(variance[c]) + epsilon);
  const double factor = weight[c] * invstd[c];
  scale[c] = static_cast<float>(factor);
  shift[c] = static_cast<float>(bias[c] - mean[c] * factor);
}

// See BackwardCoefficients in batch_norm_kernels.h.
__global__ void __launch_bounds__(kBlock)
    BackwardCoefficientRows(const double* sums, const double* count, const float* weight,
                            const double* invstd, int64_t channels, float* a, float* b, float* c) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= channels) return;
  const double factor = weight[i] * invstd[i];
  a[i] = static_cast<float>(factor);
  b[i] = static_cast<float>(-factor * invstd[i] * invstd[i] * (sums[i] / *count));
  c[i] = static_cast<float>(-factor * (sums[channels + i] / *count));
}

}  // namespace
}  // namespace seer::engine::cuda
